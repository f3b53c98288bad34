"""The pages of a report: leaderboard, methods, runs, videos, pictures, citations.

In comes a board with its runs, out go HTML pages and images. Imports the board and the metrics that its pictures show.
"""
