"""Normalisation over channels with epsilon added to the deviation instead of under the root."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Normalises the channels of `[N, C, ...]` with `axes` axes behind them."""

    def __init__(self, dim: int, axes: int = 1) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, dim, *[1] * axes))
        self.b = nn.Parameter(torch.zeros(1, dim, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, C, ...]` to `[N, C, ...]`."""
        deviation = x.var(dim=1, unbiased=False, keepdim=True).sqrt()
        return (x - x.mean(dim=1, keepdim=True)) / (deviation + 1e-5) * self.g + self.b
