"""Tests of `harness.records`."""
