"""DeepMIL as published (mil 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.deepmil import DeepMIL
from harness.plugin import Batch


class Plain(DeepMIL):
    """What is more work than needed.

    - loss: pair by pair.
    - evaluation: one video at a time.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return snippet scores `[B, T]` of features `[B, T, D]`."""
        x = self.dropped(F.relu(self.fc1(features)))
        x = self.dropped(F.relu(self.fc2(x)))
        return self.dropped(self.fc3(x).squeeze(2).sigmoid())

    def dropped(self, x: Tensor) -> Tensor:
        """Dropout."""
        return F.dropout(x, self.config.dropout, self.training)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total, of as many normal as abnormal videos."""
        c, scores = self.config, self(batch.features)
        pairs = list(zip(scores[: batch.normal], scores[batch.normal :], strict=True))
        return {
            "hinge": torch.stack(
                [F.relu(c.margin - abnormal.max() + normal.max()) for normal, abnormal in pairs]
            ).mean(),
            "smooth": c.smooth * torch.stack([abnormal.diff().square().sum() for _, abnormal in pairs]).mean(),
            "sparsity": c.sparsity * torch.stack([abnormal.sum() for _, abnormal in pairs]).mean(),
        }
