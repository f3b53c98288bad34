"""Which code decides a result: source files reached from a method, as one hash, and which methods passed the check.

In comes a method's class, out goes a hash of every line that computes. Imports the contract of methods, the registry
and `harness.io`.
"""
