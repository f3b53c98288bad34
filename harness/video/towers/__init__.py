"""Image towers: the frozen encoders that turn pictures into rows, and the files that hold their weights.

In come normalised pictures `[N, 3, H, W]`, out go rows `[N, D]`. It imports the reading of weights and of the hub's
cache; extraction imports it.
"""
