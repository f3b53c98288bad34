"""Linear probe: ridge regression from a video's mean feature to its label. A floor that trains in seconds."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.plugin import Method, MethodCard, MethodConfig, Prediction, Reading, Task, TrainingVideo


class LinearProbeConfig(MethodConfig):
    """`ridge` is the penalty in units of the features' mean variance, None chooses it by leave-one-out error.

    `standardise` divides each feature by its deviation over the training videos.
    """

    standardise: bool = False
    ridge: float | None = None


class LinearProbe(Method):
    """Snippet scores w.x + b, squashed into (0, 1), with w and b fitted to whole videos in closed form."""

    card = MethodCard(
        name="linear-probe",
        title="Linear probe",
        family="floor",
        training="closed-form",
    )
    Config = LinearProbeConfig
    config: LinearProbeConfig
    weight: Tensor
    bias: Tensor

    def __init__(self, config: LinearProbeConfig, task: Task) -> None:
        super().__init__(config, task)
        self.register_buffer("weight", torch.zeros(task.dim))
        self.register_buffer("bias", torch.zeros(()))

    @torch.no_grad()
    def fit(self, videos: Iterable[TrainingVideo]) -> None:
        """Set w and b by ridge regression of the label (0 normal, 1 abnormal) on mean features, in float64.

        Raises:
            HarnessError: not both labels occur.
        """
        means_list, targets = [], []
        for video in videos:
            if len(video.features):
                means_list.append(video.features.double().mean(dim=0))
                targets.append(1.0 - float(video.labels[0]))
        if len(set(targets)) < 2:
            raise HarnessError("linear-probe needs normal and abnormal training videos")
        means, target = torch.stack(means_list), torch.tensor(targets, dtype=torch.float64)
        centre = means.mean(dim=0)
        scale = means.std(dim=0).clamp(min=1e-8) if self.config.standardise else torch.ones_like(centre)
        weight = _ridge((means - centre) / scale, target - target.mean(), self.config.ridge) / scale
        self.weight.copy_(weight)
        self.bias.copy_(target.mean() - weight @ centre)

    def reading(self) -> Reading:
        """Snippet by snippet."""
        return Reading(online=True)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores `[B, T]`: 0.5 where the regression says 0.5; unlike a sigmoid the curve never becomes flat."""
        centred = features @ self.weight + self.bias - 0.5
        return Prediction(0.5 + 0.5 * centred / (0.5 + centred.abs()))


def _ridge(x: Tensor, y: Tensor, ridge: float | None) -> Tensor:
    """Return the weights `[D]` of ridge regression of y `[N]` on x `[N, D]`, both centred, float64.

    The penalty is `ridge` times the mean variance of x (per video); without a `ridge`, that of 10^-4 ... 10^2 with the
    least leave-one-out error, from e_i / (1 - h_ii).
    """
    count = len(x)
    values, axes = torch.linalg.eigh(x.T @ x / count)
    values = values.clamp(min=0)
    turned = x @ axes
    moments = turned.T @ y / count
    grid = torch.logspace(-4, 2, 25, dtype=x.dtype) if ridge is None else torch.tensor([ridge], dtype=x.dtype)
    grid = grid * values.mean().clamp(min=1e-12)
    best, least = grid[0], torch.inf
    for penalty in grid:
        residual = y - turned @ (moments / (values + penalty))
        # The mean that was subtracted counts as one more fitted value: 1 / N.
        leverage = (turned.square() / (values + penalty)).sum(dim=1) / count + 1 / count
        error = float((residual / (1 - leverage).clamp(min=1e-6)).square().mean())
        if error < least:
            best, least = penalty, error
    weights: Tensor = axes @ (moments / (values + best))
    return weights
