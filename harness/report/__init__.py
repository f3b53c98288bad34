"""Leaderboards and pages."""
