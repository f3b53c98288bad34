"""A small gradient method and a small in-memory split, for tests of the loop rather than of a method."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.bank import Item, Split
from harness.plugin import (
    Batch,
    Looks,
    Method,
    MethodCard,
    MethodConfig,
    Prediction,
    Reading,
    Sampling,
    Schedule,
    Task,
    TrainingPlan,
)


class TinyConfig(MethodConfig):
    window: int | None = None
    restart: str = "epoch"
    batch: int = 4
    epochs: int = 3
    break_at: int = 0
    break_gradient: bool = False


class Tiny(Method):
    """One linear layer with dropout."""

    card = MethodCard(name="tiny", title="Tiny", family="mil", input_scale="mean norm about 1")
    Config = TinyConfig

    def __init__(self, config: TinyConfig, task: Task) -> None:
        super().__init__(config, task)
        self.score = nn.Linear(task.dim, 1)
        self.drop = nn.Dropout(0.3)
        self.steps = 0

    def sampling(self) -> Sampling:
        return Sampling("pairs", self.config.batch, 8, self.config.epochs, restart=self.config.restart)

    def reading(self) -> Reading:
        return Reading(self.config.window)

    def looks(self) -> Looks:
        return Looks(every=2, first=1)

    def schedules(self, plan: TrainingPlan) -> list[Schedule]:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        return [Schedule(optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5))]

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        self.steps += 1
        scores = self.score(self.drop(batch.features)).squeeze(-1).sigmoid().amax(dim=1)
        terms = {"bce": nn.functional.binary_cross_entropy(scores, batch.abnormal), "size": 1e-3 * scores.mean()}
        if self.config.break_at and self.steps >= self.config.break_at:
            if self.config.break_gradient:  # finite value, infinite slope
                terms["root"] = (self.score.weight.sum() * 0).sqrt()
            else:
                terms["size"] = terms["size"] / 0
        return terms

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        return Prediction(self.score(features).squeeze(-1).sigmoid())


def task(dim: int = 6) -> Task:
    return Task("tiny-set", ("Normal", "Anomaly"), ("normal", "anomaly"), dim)


def split(lengths: list[int], dim: int = 6, crops: int = 1, seed: int = 0) -> Split:
    """Videos of the given lengths, every second one abnormal with a shifted middle."""
    rng = np.random.default_rng(seed)
    items, rows = [], []
    for number, length in enumerate(lengths):
        label = number % 2
        for crop in range(crops):
            features = rng.standard_normal((length, dim)).astype(np.float32)
            features[length // 3 : length // 3 + 2] += 2.0 * label
            items.append(Item(f"v{number:02d}", crop, length, (label,)))
            rows.append(features)
    starts = np.cumsum([0, *(item.snippets for item in items)], dtype=np.int64)[:-1]
    return Split(tuple(items), starts, np.concatenate(rows), 1.0, 2)
