"""Methods in the straightforward order of computation that their specifications tell, one module each.

Module `m` holds `Plain`, a subclass of the method registered as `m` (with - for _) with the same parameters, and says
which of its steps are more work than the result needs, each with its section of the specification (`dv` is
dsanet-vadclip.md, `mil` mil-baselines.md, `more` mil-and-clip-more.md). `Plain.TEST_PASSES`, where given, is how often
one official evaluation passes the test set. Modules whose names begin with `_` are parts that several use.
"""
