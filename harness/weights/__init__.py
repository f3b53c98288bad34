"""Files of weights: reading them without executing anything, checkpoints of ours, conversion of official ones.

In come files of anyone, out go tensors by name and checkpoints that say themselves what they are. Imports the
contract of methods, the registry and `harness.io`.
"""
