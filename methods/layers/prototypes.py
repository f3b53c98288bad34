"""Cross-attention between snippets and prototypes.

Axes: B videos or windows, T snippets, D channels, S prototypes, N packed snippets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .time import valid_rows


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


class Rows:
    """The rows of `[B, T]` that are worth computing, packed one after another: N of them."""

    def __init__(self, known: Tensor, length: int, device: torch.device) -> None:
        """Take those inside their video, T = `length` each, of lengths `[B]` known on the CPU."""
        self.shape = torch.Size((len(known), length))
        self.places = valid_rows(known, length, device)

    def pack(self, x: Tensor) -> Tensor:
        """Return the rows `[N, D]` of x `[B, T, D]`."""
        return x.flatten(0, 1).index_select(0, self.places)

    def spread(self, x: Tensor) -> Tensor:
        """Return `[B, T, D]`, zero elsewhere, of the rows x `[N, D]`."""
        everywhere: Tensor = x.new_zeros(self.shape.numel(), x.shape[1]).index_copy(0, self.places, x)
        return everywhere.reshape(*self.shape, -1)


class CrossAttention(nn.Module):
    """Attention of x to y by softmax, or (`rectified`) by the ReLU of scaled cosines, which need not sum to 1."""

    def __init__(self, dim: int, heads: int, rectified: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.learn_scale = nn.Parameter(torch.ones(heads, 1, 1)) if rectified else None

    def forward(self, x: Tensor, y: Tensor, rows: Rows | None = None) -> Tensor:
        """Map x `[B, T, D]`, or its `rows` `[N, D]`, and y `[B, S, D]` to the shape of x."""
        query, (key, value) = self.q(x), (self._split(part) for part in self.kv(y).chunk(2, dim=2))
        query = self._split(query if rows is None else rows.spread(query))
        if self.learn_scale is None:
            joined: Tensor = self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        else:
            lengths = query.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            products = query @ (self.learn_scale * F.normalize(key, dim=-1)).transpose(2, 3)
            joined = self._projected(F.relu(products / lengths), value)
        return joined if rows is None else rows.pack(joined)

    def _projected(self, weights: Tensor, value: Tensor) -> Tensor:
        """Return the projection `[B, T, D]` of weights `[B, H, T, S]` @ value `[B, H, S, D / H]`, for few S.

        Each head's part of the projection meets the values, not the mixtures of them, of which there are T.
        """
        parts = self.proj.weight.T.unflatten(0, (self.heads, -1))
        projected = (value.transpose(0, 1).flatten(1, 2) @ parts).unflatten(1, (len(value), -1))
        mapped: Tensor = weights.transpose(1, 2).flatten(2) @ projected.transpose(0, 1).flatten(1, 2) + self.proj.bias
        return mapped

    def _split(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(2, (self.heads, -1)).transpose(1, 2)
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

    def forward(self, x: Tensor, y: Tensor, rows: Rows | None = None) -> Tensor:
        """Map x `[B, T, D]`, or its `rows` `[N, D]`, attending to y `[B, S, D]`, to the shape of x."""
        attended = self.attn(self.norm1(x), self.norm1(y), rows)
        x = x + attended if self.residual else attended
        mapped: Tensor = x + self.mlp(self.norm2(x))
        return mapped
