"""Normalisation over channels with epsilon added to the deviation instead of under the root."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Normalises the channels C of `[N, C, ...]` with `axes` axes behind them, or, last, of `[N, T, C]`."""

    def __init__(self, dim: int, axes: int = 1, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis
        self.g = nn.Parameter(torch.ones(1, dim, *[1] * axes))
        self.b = nn.Parameter(torch.zeros(1, dim, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """Map x to its own shape."""
        gain, shift = (p if self.axis == 1 else p.transpose(1, 2) for p in (self.g, self.b))
        centred = x - x.mean(dim=self.axis, keepdim=True)
        deviation = torch.linalg.vector_norm(centred, dim=self.axis, keepdim=True) / x.shape[self.axis] ** 0.5
        return torch.addcmul(shift, centred / (deviation + 1e-5), gain)
