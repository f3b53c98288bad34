"""UR-DMU's encoder as published, which BN-WVAD takes over (mil 3, more 1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.layers.dual_attention import DualAttention, DualEncoder
from tests.benchmarks.plain._time import convolved


def encoded(encoder: DualEncoder, features: Tensor) -> Tensor:
    """Return `[B, T, H]` of videos `[B, T, D]` of full length."""
    x = F.relu(convolved(encoder.embed, features.transpose(1, 2))).transpose(1, 2)
    for block in encoder.blocks:
        x = x + attended(block.attention, block.norm_1(x))
        grow, gelu, dropped, shrink, last = block.mlp
        x = x + bernoulli(last, shrink(bernoulli(dropped, gelu(grow(block.norm_2(x))))))
    return x


def attended(attention: DualAttention, x: Tensor) -> Tensor:
    """Map `[B, T, H]` to `[B, T, H]` by both T x T maps of every head, of which the fixed one is built again."""
    parts = attention.project(x).chunk(4, dim=2)
    query, key, value, near = (part.unflatten(2, (attention.heads, -1)).transpose(1, 2) for part in parts)
    learned = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(dim=3)
    steps = torch.arange(x.shape[1], dtype=x.dtype)
    fixed = torch.exp(-(steps[:, None] - steps).abs() / math.e)
    fixed = (fixed / fixed.sum(dim=1)).expand_as(learned)
    joined = torch.cat([learned @ value, fixed @ near], dim=3).transpose(1, 2)
    return bernoulli(attention.dropout, attention.out(joined.flatten(2)))


def bernoulli(layer: torch.nn.Dropout, x: Tensor) -> Tensor:
    """Torch's own dropout."""
    return F.dropout(x, layer.p, layer.training)
