"""Parity with official implementations: cases, what compares them, and the record of what a method passed.

In come cases (inputs, weights, expected numbers), out go errors against their tolerances. Imports metrics, identity and
the entry points of adapters.
"""
