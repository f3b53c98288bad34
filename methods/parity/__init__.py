"""How each method answers its parity cases."""
