"""The leaderboard: rows from recorded runs, their uncertainty, ranks, open pairs and published numbers.

In come tracked runs, out goes a board that every format renders. Imports metrics, tracking and records.
"""
