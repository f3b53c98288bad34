"""Means and masks over time that respect the videos' lengths.

Axes: B videos or windows, T snippets, D channels, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def valid_mask(lengths: Tensor, length: int) -> Tensor:
    """Return which of `length` snippets lie inside each video, `[B, T]` bool."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def topk_mean(values: Tensor, lengths: Tensor, divisor: int = 16) -> Tensor:
    """Return the mean of the k largest values over time, k = length // divisor + 1.

    Args:
        values: `[B, T]` or `[B, T, C]` (each class by itself).
        lengths: valid snippets `[B]`, at least 1; later ones are ignored.

    Returns:
        `[B]` or `[B, C]`.
    """
    length = values.shape[1]
    classes = values.reshape(len(values), length, -1)
    counts = lengths // divisor + 1
    inside = valid_mask(lengths, length)[:, :, None]
    top = classes.masked_fill(~inside, -torch.inf).topk(length // divisor + 1, dim=1).values
    chosen = valid_mask(counts, top.shape[1])[:, :, None]
    means = torch.where(chosen, top, torch.zeros_like(top)).sum(dim=1) / counts[:, None]
    return means.reshape(values.shape[:1] + values.shape[2:])
