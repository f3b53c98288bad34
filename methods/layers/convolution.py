"""Convolution and normalisation over time of `[B, T, D]`, in that order of memory.

Axes: B videos, windows or rows, T snippets, D channels. Weights have the names and shapes of torch's layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Return the convolution `[B, T', D']` of x `[B, T, D]` with a weight `[D', D / groups, taps]`."""
    image = x.transpose(1, 2).unsqueeze(2)  # one row of T pixels, channels last
    found = F.conv2d(image, weight.unsqueeze(2), bias, 1, (0, padding), (1, dilation), groups)
    return found.squeeze(2).transpose(1, 2)


# Rows B * T up to which the gradients of a matrix product are faster than those of a convolution on a CPU.
_FEW_ROWS = 1024


class TimeConv(nn.Conv1d):
    """A convolution over time."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T', D']`."""
        (taps,), (step,), edge = self.kernel_size, self.dilation, int(self.padding[0])
        if taps == 1:
            return F.linear(x, self.weight.squeeze(2), self.bias)
        if not torch.is_grad_enabled() or x.shape[:2].numel() > _FEW_ROWS:
            return convolved(x, self.weight, self.bias, edge, step)
        # One product with the snippets that the kernel reaches, side by side.
        x = F.pad(x, (0, 0, edge, edge))
        length = x.shape[1] - step * (taps - 1)
        reached = torch.cat([x[:, tap * step : tap * step + length] for tap in range(taps)], dim=2)
        return F.linear(reached, self.weight.transpose(1, 2).flatten(1), self.bias)


class TimeNorm(nn.BatchNorm1d):
    """Batch normalisation of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        if not self.training:
            return super().forward(x.flatten(0, 1)).view_as(x)
        # With channels last torch sums statistics in float32, otherwise in float64; gradients can feel the difference.
        return super().forward(x.transpose(1, 2).contiguous()).transpose(1, 2)
