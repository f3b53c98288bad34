"""Blocks shared by methods, by what they work on."""
