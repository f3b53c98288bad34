"""Cross-attention between snippets and prototypes.

Axes: B videos or windows, T snippets, D channels, S prototypes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    """D -> 4D -> D with exact GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., D]` to `[..., D]`."""
        mapped: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return mapped


class CrossAttention(nn.Module):
    """Attention of x to y by softmax, or (`rectified`) by the ReLU of scaled cosines, which need not sum to 1."""

    def __init__(self, dim: int, heads: int, rectified: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.learn_scale = nn.Parameter(torch.ones(heads, 1, 1)) if rectified else None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map x `[B, T, D]` and y `[B, S, D]` to `[B, T, D]`."""
        q, k, v = (self._split(part) for part in (self.q(x), *self.kv(y).chunk(2, dim=2)))
        if self.learn_scale is None:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(2, 3)
            mixed = F.relu(self.learn_scale * cosine) @ v
        joined: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return joined

    def _split(self, x: Tensor) -> Tensor:
        heads: Tensor = x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)
        return heads


class PrototypeBlock(nn.Module):
    """Pre-norm cross-attention (one norm for both streams) and feed-forward; rectified ones have no first residual."""

    def __init__(self, dim: int, heads: int, rectified: bool) -> None:
        super().__init__()
        self.residual = not rectified
        self.norm1 = nn.LayerNorm(dim, eps=1e-8)
        self.attn = CrossAttention(dim, heads, rectified)
        self.norm2 = nn.LayerNorm(dim, eps=1e-8)
        self.mlp = FeedForward(dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map x `[B, T, D]`, attending to y `[B, S, D]`, to `[B, T, D]`."""
        attended = self.attn(self.norm1(x), self.norm1(y))
        x = x + attended if self.residual else attended
        mapped: Tensor = x + self.mlp(self.norm2(x))
        return mapped
