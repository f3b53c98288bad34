"""The selection audit: what choosing weights on the test set bought.

In come runs of several selection rules, out goes their table. Imports the board.
"""
