"""The switches of TF32, with which CUDA rounds the factors of matrix products and convolutions to 10 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow TF32 meanwhile, or forbid it: torch's own default allows it to convolutions."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
