"""Data sets: cards, importers, ground truth, the feature bank, the generated demo.

In come the files of the community's layouts, out go banks with features `[N, D]`, weak labels and, apart from them,
ground truth. Imports records, the text tower (for the demo) and `harness.io`.
"""
