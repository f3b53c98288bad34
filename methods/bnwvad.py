"""BN-WVAD: batch normalisation tells abnormal snippets (arXiv 2311.15367).

Every shape is `[B, T, C]`: B videos, N of them normal and first, A abnormal, T snippets, C channels.

What the official code does and this file repeats by default: the fixed attention map is normalised along the wrong
axis (`prior`), and nothing is asked of the classifier in abnormal videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from harness.plugin import (
    Batch,
    Looks,
    Method,
    MethodCard,
    MethodConfig,
    Prediction,
    Sampling,
    Schedule,
    Task,
    TrainingPlan,
)

from .layers.clip import renamed
from .layers.convolution import TimeConv, TimeNorm
from .layers.dual_attention import DualEncoder, Prior, encoder_names, encoder_sizes
from .layers.time import valid_mask


class BNWVADConfig(MethodConfig):
    """Names for every constant.

    Parts of the paper switch off: `sample_ratio` 0 the selection within each video, `batch_ratio` 0 the one over the
    batch, an entry of `separation_weights` its layer's loss, `prior` "off" the fixed attention map; `score` takes
    the classifier or the distances alone.
    """

    # Architecture.
    hidden: int = 512
    layers: int = 2
    heads: int = 4
    attention_width: int = 512
    feedforward: int = 512
    dropout: float = 0.0
    prior: Prior = "columns"
    head_widths: tuple[int, int] = (32, 16)
    head_kernels: tuple[int, int, int] = (1, 1, 1)
    score: Literal["product", "classifier", "distance"] = "product"
    # Selection and losses.
    sample_ratio: float = 0.2
    batch_ratio: float = 0.4
    normal_weight: float = 1.0
    separation_weights: tuple[float, float] = (5.0, 20.0)
    margin: float = 1.0
    # Training.
    segments: int = 200
    batch: int = 64
    epochs: int = 10
    steps_per_epoch: int = 100
    lr: float = 1e-4
    weight_decay: float = 5e-5
    clip_norm: float = 1.0
    look_every: int = 5


@dataclass(frozen=True)
class Forward:
    """What is computed of the snippets; the head's two layers have C channels."""

    snippets: Tensor  # [B, T, H], out of the encoder
    features: tuple[Tensor, ...]  # [B, T, C] per layer, before its normalisation
    distances: tuple[Tensor, ...]  # [B, T] per layer, from the mean of its normalisation
    scores: Tensor  # [B, T], of the classifier


class Layer(nn.Module):
    """A convolution over time, normalised over the batch, with distances from the running mean."""

    def __init__(self, dim: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = TimeConv(dim, width, kernel, padding=kernel // 2)
        self.norm = TimeNorm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features `[B, T, C]` before the normalisation, distances `[B, T]`, and output `[B, T, C]`."""
        features = self.conv(x)
        out = F.relu(self.norm(features))
        return features, self.distances(features), out

    def distances(self, features: Tensor) -> Tensor:
        """Mahalanobis distances `[B, T]` of features `[B, T, C]`, with a diagonal covariance."""
        # The official code has no floor; a channel that never varies would give 0 / 0.
        deviation = self.norm.get_buffer("running_var").clamp_min(1e-12).sqrt()
        away: Tensor = (features - self.norm.get_buffer("running_mean")) / deviation
        distances: Tensor = away.norm(dim=2)
        return distances


class Head(nn.Module):
    """Two layers, then a convolution to one score."""

    def __init__(self, dim: int, widths: Sequence[int], kernels: Sequence[int]) -> None:
        super().__init__()
        sizes = [dim, *widths]
        self.layers = nn.ModuleList(Layer(sizes[i], sizes[i + 1], kernels[i]) for i in range(len(widths)))
        self.out = TimeConv(sizes[-1], 1, kernels[-1], padding=kernels[-1] // 2)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return features `[B, T, C]` and distances `[B, T]` of both layers, and scores `[B, T]`."""
        features, distances = [], []
        inside = valid[:, :, None]
        for layer in self.layers:
            inner, distance, x = layer(x * inside)
            features.append(inner)
            distances.append(distance)
        return features, distances, self.out(x * inside).squeeze(2).sigmoid()


class BNWVAD(Method):
    """Abnormal snippets lie far from the batch statistics, which normal ones dominate.

    A score is the classifier's, times the sum of both distances: as defined in the paper, it is not bounded by 1.
    """

    card = MethodCard(
        name="bnwvad",
        title="BN-WVAD",
        family="mil",
        paper="BatchNorm-based Weakly Supervised Video Anomaly Detection",
        venue="TCSVT",
        year=2024,
        arxiv="2311.15367",
        source="cool-xuan/BN-WVAD@4fa3a5d",
        parameters=5_791_905,
        bounded=False,
    )
    Config = BNWVADConfig
    # Only its training on XD-Violence was published.
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"xd-violence": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"hidden": 128, "attention_width": 128, "feedforward": 128},
            **{"segments": 32, "batch": 16, "epochs": 24, "steps_per_epoch": 20, "lr": 1e-4},
            **{"average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "distance attention": {"prior": "off"},
        "selection within videos": {"sample_ratio": 0.0},
        "selection over the batch": {"batch_ratio": 0.0},
        "first separation": {"separation_weights": (0.0, 20.0)},
        "second separation": {"separation_weights": (5.0, 0.0)},
    }
    config: BNWVADConfig

    def __init__(self, config: BNWVADConfig, task: Task) -> None:
        super().__init__(config, task)
        c = config
        self.encoder = DualEncoder(
            task.dim, c.hidden, c.layers, c.heads, c.attention_width, c.feedforward, c.dropout, c.prior
        )
        self.head = Head(c.hidden, c.head_widths, c.head_kernels)

    def forward(self, features: Tensor, lengths: Tensor) -> Forward:
        """Read videos `[B, T, D]`; in training, distances are from the means that this batch has just moved."""
        valid = valid_mask(lengths, features.shape[1])
        snippets = self.encoder(features, valid)
        inner, distances, scores = self.head(snippets, valid)
        return Forward(snippets, tuple(inner), tuple(distances), scores)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        return self.losses(self(batch.features, batch.lengths), batch.normal)

    def losses(self, out: Forward, normal: int) -> dict[str, Tensor]:
        """Return the loss terms, weighted: no scores in normal videos, and two layers that separate."""
        c = self.config
        terms = {"normal": c.normal_weight * out.scores[:normal].norm(dim=1).mean()}
        for i, (weight, distances) in enumerate(zip(c.separation_weights, out.distances, strict=True), start=1):
            terms[f"separation{i}"] = weight * self.separation(distances, normal)
        return terms

    def separation(self, distances: Tensor, normal: int) -> Tensor:
        """Hinge between pairs of a normal and an abnormal snippet: the abnormal one must lie farther out."""
        pulled, pushed = self.select(distances, normal)
        flat = distances.flatten()
        return F.relu(self.config.margin + flat[pulled] - flat[pushed]).sum() / max(1, len(pushed))

    def select(self, distances: Tensor, normal: int) -> tuple[Tensor, Tensor]:
        """Return positions `[M]` in the flat batch of the normal and of the abnormal snippets of M pairs.

        Abnormal snippets, in the order of the batch: the farthest of each abnormal video, and the farthest of them
        all. Normal ones: the farthest of every normal video, then the second of every one, ...
        """
        length = distances.shape[1]
        near, far = distances.detach()[:normal], distances.detach()[normal:]
        of_video = far.topk(int(self.config.sample_ratio * length), dim=1).indices
        of_batch = far.flatten().topk(int(self.config.batch_ratio * far.numel())).indices
        chosen = torch.zeros_like(far, dtype=torch.bool).scatter(1, of_video, True).flatten()
        pushed = chosen.scatter(0, of_batch, True).nonzero().squeeze(1) + normal * length
        ranks = near.topk(min(len(pushed) // normal + 1, length), dim=1).indices
        ranked = (ranks + length * torch.arange(normal, device=ranks.device)[:, None]).T.flatten()
        # Where there are fewer normal videos than abnormal ones, their snippets may not be enough: they start over.
        return ranked[torch.arange(len(pushed), device=ranked.device) % len(ranked)], pushed

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets, from running statistics; not bounded by 1."""
        return Prediction(self.score(self(features, lengths)))

    def score(self, out: Forward) -> Tensor:
        """Anomaly scores `[B, T]` of a forward pass."""
        distance = torch.stack(out.distances).sum(dim=0)
        return {"product": distance * out.scores, "classifier": out.scores, "distance": distance}[self.config.score]

    def sampling(self) -> Sampling:
        """Pairs of batches pooled to 200 segments; every crop is a training video of its own."""
        c = self.config
        return Sampling("pairs", c.batch, c.segments, c.epochs, restart="exhausted", steps_per_epoch=c.steps_per_epoch)

    def looks(self) -> Looks:
        """After 5, 10, ... steps of the training."""
        return Looks(self.config.look_every, self.config.look_every, over="training")

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate, gradients clipped."""
        c = self.config
        adam = Adam(self.parameters(), lr=c.lr, weight_decay=c.weight_decay, fused=True)
        return [Schedule(adam, clip_norm=c.clip_norm)]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Widths, kernels and depth; the number of attention heads does not show in the shapes."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        dim, sizes = encoder_sizes(plain)
        convs = [plain[f"normal_head.conv{i}.weight"].shape for i in (1, 2, 3)]
        return dim, sizes | {
            "head_widths": tuple(shape[0] for shape in convs[:2]),
            "head_kernels": tuple(shape[2] for shape in convs),
        }

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        return renamed(state, encoder_names(self.config.layers) | _OFFICIAL)


_OFFICIAL = {
    "normal_head.conv1.": "head.layers.0.conv.",
    "normal_head.conv2.": "head.layers.1.conv.",
    "normal_head.conv3.": "head.out.",
    "normal_head.bn1.": "head.layers.0.norm.",
    "normal_head.bn2.": "head.layers.1.norm.",
}
