"""Means of the largest snippet values, video by video (dv 4.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def top_means(values: Tensor, lengths: Tensor) -> Tensor:
    """Return, for each video, the mean of the length // 16 + 1 largest of its values `[B, T]` or `[B, T, C]`."""
    means = []
    for video, length in zip(values, lengths.tolist(), strict=True):
        means.append(video[:length].topk(length // 16 + 1, dim=0).values.mean(dim=0))
    return torch.stack(means)
