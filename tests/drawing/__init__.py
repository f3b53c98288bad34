"""Tests of `harness.drawing`."""
