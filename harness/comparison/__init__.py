"""Two or more sides on one test set: their predictions, what separates them, how sure that is, and its page.

In come run directories, checkpoints and files, out go verdicts with their uncertainty. Imports runs, scoring, metrics
and the drawing parts of `harness.report`.
"""
