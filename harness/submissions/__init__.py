"""Submissions: results packed in one file, verified against the rules and their own predictions.

In come finished runs or a bundle of somebody else's, out go a bundle or a verdict on it. Imports scoring, tracking,
metrics and data.
"""
