"""RTFM as published (mil 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.layers.magnitude import select
from harness.methods.rtfm import RTFM
from tests.benchmarks.plain.cliptsa import multi_scale


class Plain(RTFM):
    """What is more work than needed.

    - non-local block: the T x T matrix of all pairs of snippets.
    - evaluation: selects snippets by magnitude, which only losses read, for both halves of a batch of one video; one
      video at a time.
    """

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return aggregated features `[R, T, D]` and scores `[R, T]` of rows `[R, T, D]` of equal lengths."""
        assert self.net.aggregate is not None
        x = (features * self.config.input_scale).transpose(1, 2)
        aggregated = self.dropped(multi_scale(self.net.aggregate, x).transpose(1, 2))
        hidden = aggregated
        for layer in list(self.net.layers)[:-1]:
            hidden = self.dropped(F.relu(layer(hidden)))
        scores = self.net.layers[-1](hidden).squeeze(2).sigmoid()
        if not self.training:
            for _ in ("normal", "abnormal"):
                select(
                    aggregated, scores, 1, self.config.segments // self.config.selected_share, torch.ones_like(scores)
                )
        return aggregated, scores

    def dropped(self, x: Tensor) -> Tensor:
        """Dropout."""
        return F.dropout(x, self.config.dropout, self.training)
