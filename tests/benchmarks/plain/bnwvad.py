"""BN-WVAD as published (more 1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from harness.methods.bnwvad import BNWVAD, Forward
from tests.benchmarks.plain._dual import encoded
from tests.benchmarks.plain._time import convolved, normalised


class Plain(BNWVAD):
    """What is more work than needed.

    - model: both attention maps of every head as T x T matrices, the fixed one built again in each block.
    - loss: distances of the selected snippets are computed again, from their features.
    - evaluation: one video at a time.
    """

    def forward(self, features: Tensor, lengths: Tensor) -> Forward:
        """Read videos `[B, T, D]` of equal lengths."""
        snippets = encoded(self.encoder, features)
        x, inner, distances = snippets.transpose(1, 2), [], []
        for layer in self.head.layers:
            each = convolved(layer.conv, x)
            inner.append(each.transpose(1, 2))
            x = F.relu(normalised(layer.norm, each))
            distances.append(layer.distances(inner[-1]))
        return Forward(snippets, tuple(inner), tuple(distances), convolved(self.head.out, x).squeeze(1).sigmoid())

    def losses(self, out: Forward, normal: int) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        c = self.config
        terms = {"normal": c.normal_weight * out.scores[:normal].norm(dim=1).mean()}
        for i, layer in enumerate(self.head.layers):
            pulled, pushed = self.select(out.distances[i], normal)
            near, far = (layer.distances(out.features[i].flatten(0, 1)[rows][None]) for rows in (pulled, pushed))
            terms[f"separation{i + 1}"] = c.separation_weights[i] * F.relu(c.margin + near - far).mean()
        return terms
