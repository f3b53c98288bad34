"""DeepMIL: multiple-instance ranking (Sultani et al., arXiv 1801.04264), as re-implemented by Roc-Ng/DeepMIL.

Differences of that code from the paper: a ReLU after the second layer, Adam, no feature normalisation, dropout on
the output scores, and regularisers divided by the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from harness.plugin import (
    Batch,
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

from .layers.dropout import dropout
from .layers.time import valid_mask


class DeepMILConfig(MethodConfig):
    """`score_dropout` drops output scores too, as the official code does; `l2_normalise` is the paper's input."""

    hidden: int = 512
    bottleneck: int = 32
    dropout: float = 0.6
    score_dropout: bool = True
    l2_normalise: bool = False
    margin: float = 1.0
    smooth: float = 8e-5
    sparsity: float = 8e-5
    segments: int = 32
    batch: int = 32
    epochs: int = 50
    steps_per_epoch: int = 30
    lr: float = 5e-5
    weight_decay: float = 5e-5
    decay_every: int = 10
    decay: float = 0.5


class DeepMIL(Method):
    """Three linear layers score each segment; the best abnormal segment must beat the best normal one."""

    card = MethodCard(
        name="deepmil",
        title="DeepMIL",
        family="mil",
        aliases=("baseline",),
        paper="Real-World Anomaly Detection in Surveillance Videos",
        venue="CVPR",
        year=2018,
        arxiv="1801.04264",
        source="Roc-Ng/DeepMIL@f11b964",
        published_as="Sultani Deep MIL",
        parameters=2_114_113,
    )
    Config = DeepMILConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {"lr": 1e-3, "epochs": 10, "decay_every": 5, "average_last": 0.5, "warmup_steps": 20},
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "smoothness": {"smooth": 0.0},
        "sparsity": {"sparsity": 0.0},
        "score dropout": {"score_dropout": False},
    }
    config: DeepMILConfig

    def __init__(self, config: DeepMILConfig, task: Task) -> None:
        super().__init__(config, task)
        self.fc1 = nn.Linear(task.dim, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.bottleneck)
        self.fc3 = nn.Linear(config.bottleneck, 1)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return snippet scores `[B, T]` of features `[B, T, D]`; in training, dropped scores are 0 or scaled up."""
        x = F.normalize(features, dim=2) if self.config.l2_normalise else features
        x = self._drop(F.relu(self.fc1(x)))
        x = self._drop(F.relu(self.fc2(x)))
        scores = self.fc3(x).squeeze(2).sigmoid()
        return self._drop(scores) if self.config.score_dropout else scores

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.config.dropout, self.training)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Hinge between the maxima of paired bags, smoothness and sparsity of abnormal bags (Eq. 7 of the paper)."""
        terms = self.bag_terms(self(batch.features), batch.lengths, batch.normal)
        return {name: value.mean() for name, value in terms.items()}

    def bag_terms(self, scores: Tensor, lengths: Tensor, normal: int) -> dict[str, Tensor]:
        """Return the weighted terms per bag, of scores `[B, T]` whose first `normal` rows are normal bags.

        The i-th normal bag meets the i-th abnormal one; a shorter list starts over.
        """
        valid = valid_mask(lengths, scores.shape[1])
        largest = scores.masked_fill(~valid, -torch.inf).amax(dim=1)
        pairs = torch.arange(max(normal, len(scores) - normal), device=scores.device)
        best_normal = largest[:normal][pairs % normal]
        best_abnormal = largest[normal:][pairs % (len(scores) - normal)]
        abnormal, inside = scores[normal:], valid[normal:]
        change = (abnormal[:, 1:] - abnormal[:, :-1]) * inside[:, 1:]
        return {
            "hinge": F.relu(self.config.margin - best_abnormal + best_normal),
            "smooth": self.config.smooth * change.square().sum(dim=1),
            "sparsity": self.config.sparsity * (abnormal * inside).sum(dim=1),
        }

    def reading(self) -> Reading:
        """Snippet by snippet."""
        return Reading(online=True)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets themselves; no pooling at test."""
        return Prediction(self(features))

    def sampling(self) -> Sampling:
        """Pairs of batches pooled to 32 segments, every batch from a fresh shuffle."""
        c = self.config
        return Sampling("pairs", c.batch, c.segments, c.epochs, restart="step", steps_per_epoch=c.steps_per_epoch)

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam; the rate halves every ten epochs, one epoch early, as the official code steps before training."""
        c = self.config
        adam = Adam(self.parameters(), lr=c.lr, weight_decay=c.weight_decay, fused=True)
        steps = torch.optim.lr_scheduler.LambdaLR(adam, lambda epoch: c.decay ** ((epoch + 1) // c.decay_every))
        return [Schedule(adam, steps, "epoch")]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Widths of the layers."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        hidden, dim = plain["fc1.weight"].shape
        return dim, {"hidden": hidden, "bottleneck": plain["fc2.weight"].shape[0]}

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The official names are ours."""
        return {key.removeprefix("module."): value for key, value in state.items()}
