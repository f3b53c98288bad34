"""DeepMIL as published (mil 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.method import Batch
from methods.deepmil import DeepMIL


class Plain(DeepMIL):
    """What is more work than needed.

    - loss: pair by pair.
    - evaluation: one video at a time.
    """

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
