"""A package for a new method, written from a template: what `harness new-method` does.

In comes a name, out goes a directory that can be installed and passes the shared check at once. Only names, the list of
registered methods and atomic writes are imported.
"""
