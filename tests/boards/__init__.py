"""Tests of a results repository."""
