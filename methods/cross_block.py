"""MACIL-SD's transformer block, through which one stream looks at another.

Axes: B videos, T snippets, D channels.
"""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from .layers.dropout import dropout


class CrossBlock(nn.Module):
    """A transformer block whose queries come from one stream and keys and values from another; only queries are normed.

    Query, key, value and output projections start with equal weights.
    """

    def __init__(self, width: int, feedforward: int, heads: int, share: float) -> None:
        super().__init__()
        self.heads, self.share = heads, share
        self.query = nn.Linear(width, width)
        self.key, self.value, self.out = (copy.deepcopy(self.query) for _ in range(3))
        self.widen, self.narrow = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x: Tensor, context: Tensor, seen: Tensor | None) -> Tensor:
        """Return `[B, T, D]` of queries x and a context `[B, T, D]`; where `seen` `[B, T]` is false nothing is read."""
        x = x + self._drop(self.out(self._attended(self.norms[0](x), context, seen)))
        mapped: Tensor = x + self._drop(self.narrow(self._drop(F.relu(self.widen(self.norms[1](x))))))
        return mapped

    def _attended(self, x: Tensor, context: Tensor, seen: Tensor | None) -> Tensor:
        parts = self.query(x), self.key(context), self.value(context)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        if self.training and self.share:
            weights = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(dim=3)
            mixed: Tensor = self._drop(weights) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, None if seen is None else seen[:, None, None, :])
        return mixed.transpose(1, 2).flatten(2)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.share, self.training)
