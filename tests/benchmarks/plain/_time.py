"""Layers over time in the order of memory that official code has, [B, D, T]."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def convolved(layer: torch.nn.Module, x: Tensor) -> Tensor:
    """Return torch's own convolution of x `[B, D, T]`, `[B, D', T]`."""
    assert isinstance(layer, torch.nn.Conv1d)
    return torch.nn.Conv1d.forward(layer, x)


def normalised(layer: torch.nn.Module, x: Tensor) -> Tensor:
    """Return torch's own batch normalisation of x `[B, D, T]`."""
    assert isinstance(layer, torch.nn.BatchNorm1d)
    return torch.nn.BatchNorm1d.forward(layer, x)


def sequence(layers: Iterable[torch.nn.Module], x: Tensor) -> Tensor:
    """Return x `[B, D, T]` after layers of which some are over time."""
    for layer in layers:
        if isinstance(layer, torch.nn.Conv1d):
            x = convolved(layer, x)
        elif isinstance(layer, torch.nn.BatchNorm1d):
            x = normalised(layer, x)
        else:
            x = layer(x)
    return x
