"""Random scores: what a method that knows nothing reaches. Frame AUC is 0.5 up to chance."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.plugin import Method, MethodCard, MethodConfig, Prediction, Reading, Task

_BITS = 24


class RandomScores(Method):
    """Uniform scores in [0, 1), a hash of each snippet's features under a seeded key.

    So they depend on the seed and on the snippet alone, not on the batch, its padding or the order of videos.
    """

    card = MethodCard(name="random", title="Random", family="floor", training="none")
    config: MethodConfig
    key: Tensor

    def __init__(self, config: MethodConfig, task: Task) -> None:
        super().__init__(config, task)
        self.register_buffer("key", torch.randint(2**62, (task.dim + 1,)) | 1)

    def reading(self) -> Reading:
        """Snippet by snippet."""
        return Reading(online=True)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores `[B, T]`; integer arithmetic, which wraps around, gives the same on every machine."""
        bits = features.float().contiguous().view(torch.int32).long()
        mixed = (bits * self.key[:-1]).sum(dim=-1) + self.key[-1]
        for shift in (31, 27):
            mixed = (mixed ^ (mixed >> shift)) * self.key[-1]
        return Prediction(((mixed >> (62 - _BITS)) & (2**_BITS - 1)).float() / 2**_BITS)
