"""Top-k MIL: a video is as abnormal as the mean of its most abnormal snippets.

Every shape is `[B, T, D]`: B videos, T snippets, D channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.plugin import (
    Batch,
    Method,
    MethodCard,
    MethodConfig,
    Prediction,
    Range,
    Sampling,
    Schedule,
    Task,
    TrainingPlan,
)


class TopKMILConfig(MethodConfig):
    """A video of T snippets is judged by its T // `divisor` + 1 highest scores."""

    hidden: int = 256
    dropout: float = 0.5
    divisor: int = 16
    length: int = 64
    batch: int = 32
    epochs: int = 30
    lr: float = 1e-3
    weight_decay: float = 1e-3

    # What a number may be. Names that methods share, such as epochs or lr, have their range already.
    ranges: ClassVar[Mapping[str, Range]] = {**MethodConfig.ranges, "divisor": Range(1)}


class TopKMIL(Method):
    """Two linear layers score each snippet; binary cross-entropy of the top-k mean against the video's label."""

    card = MethodCard(name="topk-mil", title="Top-k MIL", family="mil")
    Config = TopKMILConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "fast": {"epochs": 10}}
    config: TopKMILConfig

    def __init__(self, config: TopKMILConfig, task: Task) -> None:
        super().__init__(config, task)
        self.hidden = nn.Linear(task.dim, config.hidden)
        self.score = nn.Linear(config.hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return snippet scores `[B, T]` of features `[B, T, D]`."""
        inner = F.dropout(F.relu(self.hidden(features)), self.config.dropout, self.training)
        scores: Tensor = self.score(inner).squeeze(2).sigmoid()
        return scores

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """One term: the top-k mean against 1 for an abnormal video, 0 for a normal one."""
        means = self.topk_mean(self(batch.features), batch.lengths)
        return {"bce": F.binary_cross_entropy(means, batch.abnormal)}

    def topk_mean(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean `[B]` of the highest of each video's own `lengths` `[B]` scores; padding never counts."""
        positions = torch.arange(scores.shape[1], device=scores.device)
        inside = positions < lengths[:, None]
        ranked = scores.masked_fill(~inside, 0.0).sort(dim=1, descending=True).values
        counts = lengths // self.config.divisor + 1
        return (ranked * (positions < counts[:, None])).sum(dim=1) / counts

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets themselves: nothing here looks at other snippets, so padding needs no mask."""
        return Prediction(self(features))

    def sampling(self) -> Sampling:
        """Batches of any label; longer videos become `length` segment means, shorter ones are padded."""
        c = self.config
        return Sampling("mixed", c.batch, c.length, c.epochs, fit="pool-or-pad")

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate."""
        c = self.config
        return [Schedule(torch.optim.Adam(self.parameters(), lr=c.lr, weight_decay=c.weight_decay))]
