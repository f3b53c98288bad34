"""From a matrix of methods, data sets and seeds to finished runs.

In comes a request, out go run directories and what became of each run: planned, claimed, computed by a worker that
never sees test labels, scored by its parent. Imports training, weights, tracking and everything below them; knows
neither reports nor the command line.
"""
