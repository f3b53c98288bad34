"""The student of AVadCLIP (arXiv 2504.04495): it learns from a teacher that also hears, and reads pictures alone.

Every shape is `[B, T, D]`: B windows, T snippets, D channels, those of the pictures first, then those of the sound,
which only the teacher reads.

One run trains both: first the teacher, then, by the same schedule, the student, while the teacher is frozen. Here it
departs from the official code, whose teacher is the best of its epochs on the test set: this one is the teacher of the
last step, and no rule of selection looks before the student's first epoch. The teacher stays in the saved state,
because an interrupted training needs it; scores do not.

As published, the distillation counts for next to nothing: with its weight of 1e-8 its gradient is ten million times
smaller than that of the other losses, and layers that learn from it alone hardly move.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import MultiStepLR

from harness.plugin import Batch, Looks, MethodCard, Sampling, Schedule, Task, TrainingPlan

from .avadclip import TEACHER_NAMES, AVadCLIP, AVadCLIPConfig, FocalVadCLIP
from .layers.clip import VADCLIP_NAMES, TwoBranch, renamed
from .layers.convolution import TimeConv


class AVadCLIPStudentConfig(AVadCLIPConfig):
    """The student's constants; the teacher has the same ones but for `teacher_layers` and `teacher_window`.

    `epochs` are those of each of the two. Without distillation (`distill_weight` 0) there is no teacher.
    """

    visual_layers: int = 1
    attn_window: int = 64
    teacher_layers: int = 2
    teacher_window: int = 4
    distill_weight: float = 1e-8


class ResidualConv(nn.Module):
    """x + relu(convolution of x)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = TimeConv(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        mapped: Tensor = x + F.relu(self.conv(x))
        return mapped


class LogVariance(nn.Module):
    """How unsure the student is of its features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([TimeConv(dim, dim, 1), TimeConv(dim, dim, 3, padding=1), TimeConv(dim, dim, 1)])

    def forward(self, visual: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        first, second, third = self.layers
        return -(visual + F.relu(third(second(F.relu(first(visual))))))


class AVadCLIPStudent(FocalVadCLIP):
    """VadCLIP on pictures, drawn to the features of a teacher that hears."""

    card = MethodCard(
        name="avadclip-student",
        title="AVadCLIP (student)",
        family="clip",
        paper="AVadCLIP: Audio-Visual Collaboration for Robust Video Anomaly Detection",
        venue="arXiv",
        year=2025,
        arxiv="2504.04495",
        source="WanshunSu/AVadCLIP@d3f6e16",
        parameters=13_163_017,
        needs_text=True,
        feature_dims=(1024,),
        input_scale="CLIP ViT-B/16 image features, mean norm about 10, and Wav2CLIP features of the sound",
        track="audio-visual",
    )
    Config = AVadCLIPStudentConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"xd-violence": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {**AVadCLIP.presets["fast"], "attn_window": 8, "average_last": 0.25},
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **{part: settings for part, settings in AVadCLIP.ablations.items() if part != "sound"},
        "distillation": {"distill_weight": 0.0},
    }
    config: AVadCLIPStudentConfig

    def __init__(self, config: AVadCLIPStudentConfig, task: Task) -> None:
        super().__init__(config, task)
        c, dim = config, task.dim - task.audio_dim
        self.mean = nn.Sequential(*(ResidualConv(dim) for _ in range(3)))
        self.log_variance = LogVariance(dim)
        self.teacher = AVadCLIP(_teacher_config(c), task) if c.distill_weight else None
        # By the student's rates it is known whose turn it is; before any training it is the student's.
        self._rates: MultiStepLR | None = None
        self._taught = 0

    def forward(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> TwoBranch:
        """Return texts, visual features and both branches' logits of windows `[B, T, D]`; the sound is not read."""
        return self.branches(self.mean(self.encoded(features, lengths, known)))

    def encoded(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> Tensor:
        """What mean and variance are made of, `[B, T, D / 2]`."""
        return self.encoder.encode(features.chunk(2, dim=2)[0], lengths, known)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total: the teacher's in the first half of the epochs, then the student's."""
        if self.teacher is not None and self._rates is not None and self._rates.last_epoch < self._taught:
            self.teacher.train(self.training)
            return {f"teacher_{name}": term for name, term in self.teacher.training_loss(batch).items()}
        visual = self.encoded(batch.features, batch.lengths, batch.known_lengths)
        out = self.branches(self.mean(visual))
        terms = self.losses(out, batch)
        if self.teacher is not None:
            distance = self.distance(self.taught(batch), out.visual, self.log_variance(visual))
            terms["distill"] = self.config.distill_weight * distance
        return terms

    @torch.no_grad()
    def taught(self, batch: Batch) -> Tensor:
        """The frozen teacher's features of a batch, `[B, T, D / 2]`."""
        assert self.teacher is not None
        return self.teacher.eval().fused(batch.features, batch.lengths, batch.known_lengths)

    def distance(self, target: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """How unlikely the teacher's features are to the student, up to a constant; padding counts too."""
        return ((target - mean) ** 2 / (1e-6 + 2 * log_variance.exp()) + log_variance).mean()

    def sampling(self) -> Sampling:
        """Mixed batches, first for the teacher, then for the student."""
        plan = super().sampling()
        return plan if self.teacher is None else dataclasses.replace(plan, epochs=2 * plan.epochs)

    def looks(self) -> Looks:
        """At the end of each of the student's epochs."""
        looks = super().looks()
        return looks if self.teacher is None else dataclasses.replace(looks, skip=self.config.epochs)

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """AdamW for each of the two; the student's rate begins to fall when the teacher has been trained."""
        c = self.config
        first = [] if self.teacher is None else list(self.teacher.schedules(plan))
        self._taught = plan.epochs // 2 if first else 0
        own = [p for name, p in self.named_parameters() if p.requires_grad and not name.startswith("teacher.")]
        adamw = AdamW(own, lr=c.lr, weight_decay=c.weight_decay, fused=True)
        self._rates = MultiStepLR(adamw, [self._taught + epoch for epoch in c.milestones], c.decay)
        return [*first, Schedule(adamw, self._rates)]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Width with the sound, window length and depth, and whether there is a teacher, which the student's lack."""
        dim, sizes = super().official_sizes(state)
        there = any(key.removeprefix("module.").startswith("teacher.") for key in state)
        return dim, sizes if there else {**sizes, "distill_weight": 0.0}

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys; those that begin with `teacher.` are the teacher's."""
        return renamed(state, _OFFICIAL)

    def saved_state(self) -> dict[str, Tensor]:
        """State dict without the frozen text tower, which both read."""
        return {name: value for name, value in super().saved_state().items() if not name.startswith("teacher.text.")}

    def load_saved_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `saved_state` returned; raises RuntimeError that lists missing or unexpected keys."""
        frozen = {name: value for name, value in self.state_dict().items() if name.startswith("teacher.text.")}
        super().load_saved_state({**frozen, **state})


def _teacher_config(c: AVadCLIPStudentConfig) -> AVadCLIPConfig:
    shared = {name: getattr(c, name) for name in AVadCLIPConfig.model_fields}
    return AVadCLIPConfig(**{**shared, "visual_layers": c.teacher_layers, "attn_window": c.teacher_window})


_OFFICIAL = {
    **VADCLIP_NAMES,
    "alpha": "class_weights",
    **{f"fe_net.conv.{index}.conv.0.": f"mean.{index}.conv." for index in range(3)},
    **{f"fe_net.theta.theta.{theirs}.": f"log_variance.layers.{ours}." for ours, theirs in enumerate((0, 2, 3))},
    **{f"teacher.{theirs}": f"teacher.{ours}" for theirs, ours in TEACHER_NAMES.items()},
}
