"""A method at its real size on made-up features: what the measurements run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.bank import Item, Split
from harness.data.card import DatasetCard
from harness.plugin import contract
from harness.plugin.method import Batch, Method, Schedule, Task, TrainingPlan
from harness.registry import check_preset, method_class, setting_errors
from harness.text.loading import load_text_tower
from harness.training.loop import train, training_videos
from harness.training.sampling import Batches, moved
from harness.training.seeds import derive
from harness.training.selection import Selector

# Mean norm of a made-up feature, that of CLIP's.
NORM = 10.0
# Snippets of a made-up training video; most methods bring it to their own length.
TRAINING_SNIPPETS = 256


class Subject:
    """A method configured for a data set, with weights drawn from a fixed seed."""

    def __init__(
        self,
        name: str,
        card: DatasetCard,
        dim: int,
        preset: str,
        overrides: Mapping[str, Any],
        text_tower: str | None,
        device: str,
        audio_dim: int = 0,
    ) -> None:
        """Raises UserError for a wrong setting or preset, Unsupported where the method cannot run on the features."""
        cls = method_class(name)
        check_preset(cls, preset, card.preset)
        with setting_errors(cls, "--set", overrides):
            config = cls.configure(card.settings_family, preset, overrides)
        tower = load_text_tower(text_tower) if cls.card.needs_text else None
        task = Task(card.name, card.class_names, card.prompts, dim, tower, audio_dim, glances=True)
        cls.check(task)
        self.card, self.device, self.dim = card, device, dim
        self.tower = tower.name if tower else ""
        with torch.random.fork_rng():
            torch.manual_seed(derive(0, card.name, "init"))
            self.method: Method = cls(config, task).to(device)
        self.method.eval()
        self.window = contract.reading(self.method).window

    def features(self, rows: int, snippets: int) -> Tensor:
        """Made-up features `[rows, snippets, D]` on the device."""
        generator = torch.Generator().manual_seed(rows * 100_003 + snippets)
        drawn: Tensor = torch.randn(rows, snippets, self.dim, generator=generator) * (NORM / self.dim**0.5)
        return drawn.to(self.device)

    def read(self, videos: Tensor) -> Tensor:
        """Scores `[B, T]` of whole videos `[B, T, D]`, in windows if the method has one, all of a kind in one batch."""
        rows, snippets, dim = videos.shape
        if self.window is None:
            lengths = torch.full((rows,), snippets, device=self.device)
            with torch.inference_mode():
                return contract.prediction(self.method, videos, lengths).scores
        count = -(-snippets // self.window)
        padded = torch.zeros(rows, count * self.window, dim, device=self.device)
        padded[:, :snippets] = videos
        ends = torch.arange(1, count + 1, device=self.device) * self.window
        lengths = (self.window - (ends - snippets).clamp(min=0)).repeat(rows)
        with torch.inference_mode():
            windows = padded.view(rows * count, self.window, dim)
            scores = contract.prediction(self.method, windows, lengths).scores
        return scores.view(rows, -1)[:, :snippets]

    def training_plan(self) -> TrainingPlan:
        """The full training of this preset on the data set's own number of training videos."""
        split = self.card.splits["train"]
        normal = (split.classes or {}).get(self.card.class_names[0], split.videos // 2)
        labels = [0] * normal + [1] * (split.videos - normal)
        items = tuple(Item(f"v{i}", 0, 1, (label,)) for i, label in enumerate(labels))
        none = np.zeros((len(items), self.dim), dtype=np.float32)
        training = Split(items, np.arange(len(items)), none, 1.0, len(self.card.classes))
        return Batches(training, np.arange(len(items)), contract.sampling(self.method), 0, self.card.name).plan

    def train(self, steps: int) -> list[float]:
        """Seconds of each of `steps` training steps at the preset's own batch and length."""
        looks = contract.looks(self.method)
        records = train(self.method, self._batches(steps), Selector("last", looks, None, ""), self.device)
        self.method.eval()
        return [float(record["seconds"]) for record in records]

    def step(self) -> tuple[Method, list[Schedule], Batch]:
        """What a training step is taken with, ready for it: the method in training mode, optimizers, a batch."""
        batches = self._batches(1)
        schedules = list(contract.schedules(self.method.train(), batches.plan))
        return self.method, schedules, moved(batches.batch(0, 0), self.device)

    def _batches(self, steps: int) -> Batches:
        """As many epochs of a step each, of made-up videos that the method is prepared for."""
        sampling = dataclasses.replace(contract.sampling(self.method), epochs=steps, steps_per_epoch=1)
        split = self._training_split(sampling.batch)
        self.method.prepare(training_videos(split, np.arange(len(split.items))))
        clicks = self.method.card.track == "glance"
        return Batches(split, np.arange(len(split.items)), sampling, 0, self.card.name, clicks=clicks)

    def fit(self) -> None:
        """Let a method that learns in closed form do so on a few videos."""
        split = self._training_split(8)
        self.method.fit(training_videos(split, np.arange(len(split.items))))

    def _training_split(self, each: int) -> Split:
        count, classes = 2 * each, len(self.card.classes)
        rows: NDArray[np.float32] = np.random.default_rng(0).standard_normal(
            (count * TRAINING_SNIPPETS, self.dim), dtype=np.float32
        )
        rows *= np.float32(NORM / self.dim**0.5)
        labels = [0 if index % 2 == 0 else 1 + index // 2 % (classes - 1) for index in range(count)]
        items = tuple(Item(f"v{i}", 0, TRAINING_SNIPPETS, (label,)) for i, label in enumerate(labels))
        clicked = {f"v{i}": (TRAINING_SNIPPETS / 2,) for i, label in enumerate(labels) if label}
        return Split(items, np.arange(count) * TRAINING_SNIPPETS, rows, 1.0, classes, clicked)
