"""Figures for papers: score curves and maps of features, as SVG or PDF.

In: run directories. Out: one file with one figure. May import detect's scorer, runs, data, records and below.
"""
