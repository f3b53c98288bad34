"""One flipped bit anywhere in what a result stands on: refused by name, or provably read as before."""
