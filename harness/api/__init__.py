"""What `import harness` offers: runs, boards, comparisons, scores and models as Python objects and data frames.

In come Python values, out go objects with `to_frame`. The command line is a client of it. It may import every package
but the command line, which alone imports it.
"""
