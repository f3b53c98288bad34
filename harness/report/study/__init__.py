"""Robustness studies: how far each method falls as its training or its test is disturbed more.

In come leaderboards of one study's runs, out go curves, a page and a table. Imports the leaderboard and the site.
"""
