"""Reports: leaderboards, the site, tables, the selection audit.

In come tracked runs and submissions, out go pages, Markdown, CSV, JSON and LaTeX. Imports boards, tracking, metrics and
everything below them; computes no run.
"""
