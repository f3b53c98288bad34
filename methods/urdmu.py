"""UR-DMU: dual memory units with uncertainty regulation (arXiv 2302.05160, AAAI 2023).

Every shape is `[B, T, H]`: B videos, N of them normal and first, T snippets, H hidden channels.

What the official code does and this file repeats by default: the fixed attention map is normalised along the wrong
axis (`prior`); the divergence is summed over time instead of channels (`kl_over`); in training only the normal videos
are sampled, so the noise itself tells the classifier a label, and long trainings can lean on it: at test, where nothing
is sampled, the order of the scores may then turn around (`sampled`).
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
from .layers.dual_attention import DualEncoder, Prior, encoder_names, encoder_sizes
from .layers.time import valid_mask


class URDMUConfig(MethodConfig):
    """Names for every constant.

    Parts of the paper switch off: each weight its loss, `prior` "off" the fixed attention map, `sampled` "none" the
    sampling; `sampled` "all" treats abnormal videos like normal ones. Of n snippets or memory entries, the best
    n // `topk_divisor` + 1 count.
    """

    # Architecture.
    hidden: int = 512
    layers: int = 2
    heads: int = 4
    attention_width: int = 512
    feedforward: int = 512
    dropout: float = 0.5
    prior: Prior = "columns"
    abnormal_memory: int = 60
    normal_memory: int = 60
    head_width: int = 128
    sampled: Literal["normal", "all", "none"] = "normal"
    topk_divisor: int = 16
    # Losses.
    memory_weight: float = 0.1
    triplet_weight: float = 0.1
    triplet_margin: float = 1.0
    kl_weight: float = 1e-3
    kl_over: Literal["time", "channels"] = "time"
    distance_weight: float = 1e-4
    distance_margin: float = 100.0
    # Training.
    segments: int = 200
    batch: int = 64
    epochs: int = 30
    steps_per_epoch: int = 100
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-5
    look_every: int = 10
    look_first: int = 20


class Memory(nn.Module):
    """A bank of learned patterns."""

    def __init__(self, entries: int, dim: int, topk_divisor: int) -> None:
        super().__init__()
        self.topk = entries // topk_divisor + 1
        self.bank = nn.Parameter(torch.empty(entries, dim).uniform_(-(dim**-0.5), dim**-0.5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return how well the memory knows each snippet `[B, T]`, and how much each entry has to say `[B, T, M]`."""
        attention = (x @ self.bank.T * self.bank.shape[1] ** -0.5).sigmoid()
        return attention.topk(self.topk, dim=2).values.mean(dim=2), attention

    def says(self, attention: Tensor, encode: nn.Linear) -> Tensor:
        """Return encode(attention bank) `[B, T, H]`; the M entries are encoded, not the snippets, which are more."""
        return attention @ F.linear(self.bank, encode.weight) + encode.bias


@dataclass(frozen=True)
class Forward:
    """Everything that the losses need."""

    snippets: Tensor  # [B, T, H], out of the encoder
    abnormality: Tensor  # [B, T], how well the memory of abnormal patterns knows a snippet
    normality: Tensor  # [B, T], the same of normal patterns
    abnormal: Tensor  # [B, T, H], encoded from the memory of abnormal patterns
    normal: Tensor  # [B, T, H], encoded from that of normal ones; samples where `sampled`
    mean: Tensor  # [N, T, H], of the distribution sampled from
    log_variance: Tensor  # [N, T, H]
    scores: Tensor  # [B, T]


class URDMU(Method):
    """Two memories, of normal and of abnormal patterns, enhance each snippet before it is scored."""

    card = MethodCard(
        name="urdmu",
        title="UR-DMU",
        family="mil",
        paper="Dual Memory Units with Uncertainty Regulation for Weakly Supervised Video Anomaly Detection",
        venue="AAAI",
        year=2023,
        arxiv="2302.05160",
        source="henrryzh1/UR-DMU@40cfdf5",
        published_as="UR-DMU",
        parameters=6_492_929,
    )
    Config = URDMUConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ucf-crime": {}, "xd-violence": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        # The divergence is a sum over segments: fewer of them, each counting more, keep its strength.
        "fast": {
            **{"segments": 32, "batch": 8, "epochs": 8, "steps_per_epoch": 10, "lr": 2e-4, "kl_weight": 6.25e-3},
            **{"average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "distance attention": {"prior": "off"},
        "memory losses": {"memory_weight": 0.0},
        "triplet loss": {"triplet_weight": 0.0},
        "uncertainty": {"sampled": "none", "kl_weight": 0.0},
        "distance loss": {"distance_weight": 0.0},
    }
    # What the official code calls its transformer.
    official_blocks: ClassVar[str] = "selfatt"
    config: URDMUConfig

    def __init__(self, config: URDMUConfig, task: Task) -> None:
        super().__init__(config, task)
        c = config
        self.encoder = DualEncoder(
            task.dim, c.hidden, c.layers, c.heads, c.attention_width, c.feedforward, c.dropout, c.prior
        )
        self.abnormal_memory = Memory(c.abnormal_memory, c.hidden, c.topk_divisor)
        self.normal_memory = Memory(c.normal_memory, c.hidden, c.topk_divisor)
        self.encode_mean = nn.Linear(c.hidden, c.hidden)
        self.encode_log_variance = nn.Linear(c.hidden, c.hidden)
        self.head = nn.Sequential(nn.Linear(2 * c.hidden, c.head_width), nn.ReLU(), nn.Linear(c.head_width, 1))

    def forward(self, features: Tensor, lengths: Tensor, normal: int = 0, noise: Tensor | None = None) -> Forward:
        """Read videos `[B, T, D]`, N = `normal` of them normal; with none (at test) nothing is sampled.

        Standard normal `noise` `[N, T, H]`, or `[B, T, H]` where all are sampled, is drawn unless given.
        """
        x = self.encoder(features, valid_mask(lengths, features.shape[1]))
        abnormality, in_abnormal = self.abnormal_memory(x)
        normality, in_normal = self.normal_memory(x)
        from_abnormal = self.abnormal_memory.says(in_abnormal, self.encode_mean)
        from_normal = self.normal_memory.says(in_normal, self.encode_mean)
        count = {"normal": normal, "all": len(x) if normal else 0, "none": 0}[self.config.sampled]
        mean, log_variance = (
            from_normal,
            self.normal_memory.says(in_normal[: max(normal, count)], self.encode_log_variance),
        )
        if count:
            noise = torch.randn_like(mean[:count]) if noise is None else noise
            drawn = mean[:count] + noise * (log_variance[:count] / 2).exp()
            from_normal = torch.cat([drawn, mean[count:]])
        scores = self.head(torch.cat([x, from_abnormal + from_normal], dim=2)).squeeze(2).sigmoid()
        return Forward(
            x, abnormality, normality, from_abnormal, from_normal, mean[:normal], log_variance[:normal], scores
        )

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        return self.losses(self(batch.features, batch.lengths, batch.normal), batch)

    def losses(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted, of a forward pass."""
        weights = self.weights()
        return {name: weights[name] * value for name, value in self.terms(out, batch).items()}

    def weights(self) -> dict[str, float]:
        """Weight of each loss term."""
        c = self.config
        memories = ("abnormal_in_abnormal", "abnormal_in_normal", "normal_in_normal", "normal_in_abnormal")
        rest = {"triplet": c.triplet_weight, "kl": c.kl_weight, "distance": c.distance_weight}
        return {"classification": 1.0, **dict.fromkeys(memories, c.memory_weight), **rest}

    def terms(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms without their weights; the four after the first are the memories'.

        An abnormal video has snippets that the abnormal memory knows and some that the normal one does not; a normal
        video is known to the normal memory throughout, to the abnormal one nowhere.
        """
        n = batch.normal
        return {
            "classification": cross_entropy(self.best(out.scores), batch.abnormal),
            "abnormal_in_abnormal": cross_entropy(self.best(out.abnormality[n:]), 1.0),
            "abnormal_in_normal": cross_entropy(self.best(1 - out.normality[n:]), 1.0),
            "normal_in_normal": cross_entropy(out.normality[:n], 1.0),
            "normal_in_abnormal": cross_entropy(out.abnormality[:n], 0.0),
            "triplet": self._triplet(out, n),
            "kl": self._kl(out),
            "distance": self._distance(out, n),
        }

    def _triplet(self, out: Forward, n: int) -> Tensor:
        """What is most normal in normal and in abnormal videos, against what is most abnormal."""
        anchor, positive, negative = _in_turn(
            self._average(out.snippets[:n], out.normality[:n]),
            self._average(out.snippets[n:], out.normality[n:]),
            self._average(out.snippets[n:], out.abnormality[n:]),
        )
        anchor, positive, negative = (F.normalize(x, dim=1) for x in (anchor, positive, negative))
        return F.triplet_margin_loss(anchor, positive, negative, margin=self.config.triplet_margin)

    def _kl(self, out: Forward) -> Tensor:
        """Divergence of the normal videos' distributions from a standard normal one."""
        each = -0.5 * (1 + out.log_variance - out.mean.square() - out.log_variance.exp())
        return each.sum(dim=1 if self.config.kl_over == "time" else 2).mean()

    def _distance(self, out: Forward, n: int) -> Tensor:
        """Encodings of what is most abnormal must be longer, by a margin, than those of what is most normal."""
        short, long = _in_turn(
            self._average(out.normal[:n], out.normality[:n]).norm(dim=1),
            self._average(out.abnormal[n:], out.abnormality[n:]).norm(dim=1),
        )
        return F.relu(self.config.distance_margin - long + short).mean()

    def best(self, values: Tensor) -> Tensor:
        """Mean `[B]` of the largest values `[B, T]` of each video."""
        return values.topk(self._count(values), dim=1).values.mean(dim=1)

    def _average(self, x: Tensor, relevance: Tensor) -> Tensor:
        """Mean `[B, H]` of x `[B, T, H]` where `relevance` `[B, T]` is largest."""
        rows = relevance.topk(self._count(relevance), dim=1).indices
        return x.gather(1, rows[:, :, None].expand(-1, -1, x.shape[2])).mean(dim=1)

    def _count(self, values: Tensor) -> int:
        return values.shape[1] // self.config.topk_divisor + 1

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets themselves, from means instead of samples."""
        return Prediction(self(features, lengths).scores)

    def sampling(self) -> Sampling:
        """Pairs of batches pooled to 200 segments; every crop is a training video of its own."""
        c = self.config
        return Sampling("pairs", c.batch, c.segments, c.epochs, restart="exhausted", steps_per_epoch=c.steps_per_epoch)

    def looks(self) -> Looks:
        """After 20, 30, ... steps of the training."""
        return Looks(self.config.look_every, self.config.look_first, over="training")

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate."""
        c = self.config
        return [Schedule(Adam(self.parameters(), lr=c.lr, betas=c.betas, weight_decay=c.weight_decay, fused=True))]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Widths, depth and memory sizes; the number of heads does not show in the shapes."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        dim, sizes = encoder_sizes(plain, cls.official_blocks)
        return dim, sizes | {
            "abnormal_memory": plain["Amemory.memory_block"].shape[0],
            "normal_memory": plain["Nmemory.memory_block"].shape[0],
            "head_width": plain["cls_head.mlp.0.weight"].shape[0],
        }

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        return renamed(state, encoder_names(self.config.layers, self.official_blocks) | _OFFICIAL)


_OFFICIAL = {
    "Amemory.memory_block": "abnormal_memory.bank",
    "Nmemory.memory_block": "normal_memory.bank",
    "encoder_mu.0.": "encode_mean.",
    "encoder_var.0.": "encode_log_variance.",
    "cls_head.mlp.": "head.",
}


def cross_entropy(probabilities: Tensor, target: Tensor | float) -> Tensor:
    """Return the mean binary cross-entropy of probabilities against a target of their shape, or one for all."""
    whole = target.expand_as(probabilities) if isinstance(target, Tensor) else torch.full_like(probabilities, target)
    return F.binary_cross_entropy(probabilities, whole)


def _in_turn(*lists: Tensor) -> list[Tensor]:
    """Bring lists of rows to the length of the longest; shorter ones start over."""
    rows = torch.arange(max(map(len, lists)), device=lists[0].device)
    return [x[rows % len(x)] for x in lists]
