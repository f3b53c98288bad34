"""The text tower: CLIP's text encoder and the files that hold its weights.

In come prompts, out go embeddings `[N, D]` through which gradients flow. Methods and data may import it; it imports
only `harness.io`.
"""
