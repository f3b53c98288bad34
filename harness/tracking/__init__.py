"""MLflow: the only package that knows it. Finished runs go in, leaderboards read them from here.

In come run directories, out go recorded runs, whether a store has them already or they wait on disk. Imports records
and `harness.io`.
"""
