"""MACIL-SD: modality-aware contrastive instance learning with self-distillation (ACM MM 2022, arXiv 2207.05500).

Every shape is `[B, T, D]`: B videos, T snippets, D channels, those of the pictures first, then those of the sound. Two
networks train together: one reads both, the other the pictures alone and lends the first a part of its weights at the
end of each epoch.

The official code brings pictures and sound of a video to the training length each by itself and cannot test videos
where the two differ in length; here a row holds both, and unequal lengths are settled when a data set is imported.

What the official code does and this file repeats: the stream that asks with pictures is called audio in the contrast
and the reverse, while the scores that select are not crossed; videos take sides there by their predicted score, not by
their label; what is attended to is not normalised; in training padded rows attend and are attended to; a row of zeros
counts as missing, so that a video with one in its midst is taken to be a row shorter.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from harness.errors import Unsupported
from harness.plugin import Batch, Method, MethodCard, MethodConfig, Prediction, Sampling, Schedule, Task, TrainingPlan

from .cross_block import CrossBlock
from .layers.clip import renamed
from .layers.time import topk_mean, valid_mask
from .stream_contrast import NEGATIVES, Stream, contrast


class MACILSDConfig(MethodConfig):
    """Names for every constant.

    Parts of the paper switch off: `contrast_limit` 0 is training without the contrast, and without `self_distillation`
    the network of pictures lends nothing and is not built. `score` chooses whose scores count. "pictures" is the
    variant for missing sound: the official code has no other that hears nothing, and silence (zeros) would not be
    neutral to the network that reads both.
    """

    # Architecture.
    hidden: int = 128
    feedforward: int = 128
    heads: int = 4
    dropout: float = 0.1
    score: Literal["both", "pictures"] = "both"
    # Losses. The weight of the contrast is ramp * epoch, at most the limit.
    topk_divisor: int = 16
    temperature: float = 0.1
    contrast_ramp: float = 0.1
    contrast_limit: float = 1.5
    # Self-distillation: the share taken from the other network at first; it falls to 0 along a cosine.
    self_distillation: bool = True
    lent: float = 0.09
    # Training.
    length: int = 200
    batch: int = 128
    epochs: int = 50
    steps_per_epoch: int | None = None
    lr: float = 4e-4
    pictures_lr: float = 8e-5
    cosine_epochs: int = 60


class PicturesNetwork(nn.Module):
    """Reads pictures alone: their channels, a block on themselves, a logit per snippet."""

    def __init__(self, pictures: int, config: MACILSDConfig) -> None:
        super().__init__()
        c = config
        self.pictures = nn.Linear(pictures, c.hidden)
        self.block = CrossBlock(c.hidden, c.feedforward, c.heads, c.dropout)
        self.classifier = nn.Linear(c.hidden, 1)

    def forward(self, pictures: Tensor, seen: Tensor | None) -> Tensor:
        """Return logits `[B, T]`."""
        x = self.pictures(pictures)
        logits: Tensor = self.classifier(self.block(x, x, seen))
        return logits.squeeze(2)


class BothNetwork(PicturesNetwork):
    """Reads pictures and sound: one block, in both directions, and one classifier for both."""

    def __init__(self, pictures: int, sound: int, config: MACILSDConfig) -> None:
        super().__init__(pictures, config)
        self.sound = nn.Linear(sound, config.hidden)

    def streams(self, pictures: Tensor, sound: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what pictures see in the sound and the reverse, `[B, T, hidden]` each."""
        x, y = self.pictures(pictures), self.sound(sound)
        return self.block(x, y, seen), self.block(y, x, seen)


@dataclasses.dataclass(frozen=True)
class Forward:
    """Streams `[B, T, hidden]` and logits `[B, T]` of both networks; without the second, `alone` is None."""

    pictures: Tensor
    sound: Tensor
    pictures_logits: Tensor
    sound_logits: Tensor
    alone: Tensor | None

    @property
    def logits(self) -> Tensor:
        """The logits of the network that reads both, `[B, T]`."""
        return self.pictures_logits + self.sound_logits


class MACILSD(Method):
    """Pictures and sound attend to each other; events of one are told apart from all else of the other."""

    card = MethodCard(
        name="macilsd",
        title="MACIL-SD",
        family="mil",
        paper="Modality-Aware Contrastive Instance Learning with Self-Distillation for Weakly-Supervised Audio-Visual "
        "Violence Detection",
        venue="ACM MM",
        year=2022,
        arxiv="2207.05500",
        source="JustinYuu/MACIL_SD@c20943f",
        parameters=347_009,
        input_scale="any; its official features are I3D and VGGish",
        track="audio-visual",
    )
    Config = MACILSDConfig
    # Only its training on XD-Violence was published.
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"xd-violence": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"length": 64, "batch": 32, "epochs": 30, "steps_per_epoch": 10, "lr": 1e-3, "pictures_lr": 5e-4},
            **{"cosine_epochs": 36, "average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "contrast": {"contrast_limit": 0.0},
        "self-distillation": {"self_distillation": False},
    }
    # Layers that no forward pass reads.
    unused_official: ClassVar[tuple[str, ...]] = (
        r"(model_v\.)?(multiheadattn|feedforward|cma\.layer\.self_attn\.layer_norm)\..*",
    )
    config: MACILSDConfig

    def __init__(self, config: MACILSDConfig, task: Task) -> None:
        super().__init__(config, task)
        c, pictures = config, task.dim - task.audio_dim
        if c.hidden % c.heads:
            raise Unsupported(f"macilsd cannot divide {c.hidden} hidden channels among {c.heads} heads")
        self.both = BothNetwork(pictures, task.audio_dim, c)
        self.alone = PicturesNetwork(pictures, c) if c.self_distillation or c.score == "pictures" else None
        self._rates: CosineAnnealingLR | None = None

    def forward(self, features: Tensor, lengths: Tensor, masked: bool = False) -> Forward:
        """Return streams and logits of videos `[B, T, D]`; only with `masked` no valid snippet sees padding."""
        seen = valid_mask(lengths, features.shape[1]) if masked else None
        sound_dim = self.task.audio_dim
        pictures, sound = features.split([features.shape[2] - sound_dim, sound_dim], dim=2)
        seeing, hearing = self.both.streams(pictures, sound, seen)
        seen_logits, heard_logits = (self.both.classifier(stream).squeeze(2) for stream in (seeing, hearing))
        alone = None if self.alone is None else self.alone(pictures, seen)
        return Forward(seeing, hearing, seen_logits, heard_logits, alone)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total, of the batch cut to its longest video."""
        batch = self.cut(batch)
        return self.losses(self(batch.features, batch.lengths), batch)

    def cut(self, batch: Batch) -> Batch:
        """Return the batch cut to its longest video, a video being as long as it has pictures that are not zero."""
        pictures = batch.features[:, :, : -self.task.audio_dim]
        lengths = (pictures != 0).any(dim=2).sum(dim=1).clamp(min=1)
        return dataclasses.replace(
            batch, features=batch.features[:, : int(lengths.max())], lengths=lengths, host_lengths=None
        )

    def losses(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted: top-k losses of both networks, and the contrast with its growing weight."""
        c = self.config
        terms = {"bags": self._bags(out.logits, batch)}
        if c.contrast_limit:
            weight = min(c.contrast_limit, c.contrast_ramp * self.epoch)
            apart = self.contrast(out, batch.lengths)
            for negatives in NEGATIVES:
                terms[negatives] = weight * (apart["sound", negatives] + apart["pictures", negatives])
        if out.alone is not None:
            terms["alone"] = self._bags(out.alone, batch)
        return terms

    @property
    def epoch(self) -> int:
        """Epochs of the training that are over."""
        return 0 if self._rates is None else self._rates.last_epoch

    def _bags(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.binary_cross_entropy(self.video_scores(logits, batch.lengths), batch.abnormal)

    def video_scores(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return a score per video `[B]` of logits `[B, T]`."""
        return topk_mean(logits, lengths, self.config.topk_divisor).sigmoid()

    def contrast(self, out: Forward, lengths: Tensor) -> dict[tuple[str, str], Tensor]:
        """Return the contrastive terms by query and by what they are kept apart from, unweighted."""
        c = self.config
        # Crossed, as in the official code: what is called sound is the stream of the pictures, chosen by the scores of
        # the sound.
        sound = Stream(out.pictures, out.sound_logits.sigmoid())
        pictures = Stream(out.sound, out.pictures_logits.sigmoid())
        abnormal = self.video_scores(out.logits, lengths) > 0.5
        return contrast({"sound": sound, "pictures": pictures}, lengths, abnormal, c.topk_divisor, c.temperature)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the network that reads both, or of the one that reads pictures."""
        out = self(features, lengths, masked=True)
        logits = out.logits if self.config.score == "both" else out.alone
        assert logits is not None
        return Prediction(logits.sigmoid())

    def sampling(self) -> Sampling:
        """Mixed batches; long videos give 200 evenly spaced rows, short ones are padded."""
        c = self.config
        return Sampling(
            "mixed", c.batch, c.length, c.epochs, "pick-or-pad", steps_per_epoch=c.steps_per_epoch, drop_last=False
        )

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam for each network, its rate on a cosine; at the end of an epoch the second network lends weights."""
        c = self.config
        adam = Adam(self.both.parameters(), lr=c.lr, fused=True)
        self._rates = CosineAnnealingLR(adam, c.cosine_epochs)
        found = [Schedule(adam, self._rates)]
        if self.alone is not None:
            own = Adam(self.alone.parameters(), lr=c.pictures_lr, fused=True)
            lend = (lambda epoch: self.lend(self.kept(epoch, plan.epochs))) if c.self_distillation else _nothing
            found.append(Schedule(own, _Lending(own, c.cosine_epochs, lend)))
        return found

    def kept(self, epoch: int, epochs: int) -> float:
        """The share of its own weights that the first network keeps at the end of an epoch (from 0) of `epochs`."""
        return 1 - self.config.lent * (1 + math.cos(math.pi * epoch / epochs)) / 2

    @torch.no_grad()
    def lend(self, kept: float) -> None:
        """Mix weights of the second network into those of the first, which keeps the share `kept` of its own."""
        assert self.alone is not None
        own = dict(self.both.named_parameters())
        for name, weight in self.alone.named_parameters():
            own[name].mul_(kept).add_(weight, alpha=1 - kept)

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Widths, and whether the second network is there, which official checkpoints leave out; heads do not show."""
        shapes = {key.removeprefix("module."): value.shape for key, value in state.items()}
        hidden, pictures = shapes["fc_v.weight"]
        sizes = {"hidden": hidden, "feedforward": shapes["cma.layer.feed_forward.w_1.weight"][0]}
        second = any(key.startswith("model_v.") for key in shapes)
        return pictures + shapes["fc_a.weight"][1], {**sizes, "self_distillation": second}

    @classmethod
    def official_audio_dim(cls, state: Mapping[str, Tensor]) -> int:
        """Width of the sound."""
        return next(value.shape[1] for key, value in state.items() if key.removeprefix("module.") == "fc_a.weight")

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys; layers that nothing reads are left out."""
        return renamed(state, _OFFICIAL)


class _Lending(CosineAnnealingLR):
    """The second network's rate; after each epoch (from 0) it calls `lend`."""

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int, lend: Callable[[int], None]) -> None:
        self._lend: Callable[[int], None] = _nothing  # building takes a first step that ends no epoch
        super().__init__(optimizer, epochs)
        self._lend = lend

    def step(self, epoch: int | None = None) -> None:
        """End an epoch."""
        super().step()
        self._lend(self.last_epoch - 1)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {name: value for name, value in super().state_dict().items() if name != "_lend"}


def _nothing(epoch: int) -> None:
    """Lend no weights."""


_NETWORK = {
    "fc_v.": "pictures.",
    **{
        f"cma.layer.self_attn.linears.{index}.": f"block.{name}."
        for index, name in enumerate(("query", "key", "value", "out"))
    },
    "cma.layer.feed_forward.w_1.": "block.widen.",
    "cma.layer.feed_forward.w_2.": "block.narrow.",
    "cma.layer.sublayer.0.norm.": "block.norms.0.",
    "cma.layer.sublayer.1.norm.": "block.norms.1.",
}
_OFFICIAL = {
    **{theirs: f"both.{ours}" for theirs, ours in _NETWORK.items()},
    "fc_a.": "both.sound.",
    "att_mmil.fc.": "both.classifier.",
    **{f"model_v.{theirs}": f"alone.{ours}" for theirs, ours in _NETWORK.items()},
    "model_v.fc.": "alone.classifier.",
}
