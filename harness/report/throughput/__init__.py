"""The throughput leaderboard: what `harness bench` measured, in one table for each hardware and way of measuring.

In come benchmarks as the store has them, out go boards of their own and the frames per second that accuracy boards
show. Imports records and tracking, and of the accuracy boards what their rows are.
"""
