"""A method on a small made-up task: building, training and asking it, for the shared check.

Everything goes through the harness's own sampling, training loop and windows. What a call changes of the process's
global state is noted and put back, so that one fault shows in one check.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.check.process import watched
from harness.data.bank import Item, Split
from harness.errors import Unsupported
from harness.plugin import contract
from harness.plugin.method import Batch, Method, MethodConfig, Prediction, Task
from harness.plugin.process_state import ProcessState
from harness.registry import check_preset, setting_errors
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower
from harness.training.loop import train, training_videos
from harness.training.predict import batches as grouped
from harness.training.predict import pieces
from harness.training.resume import EpochRecord
from harness.training.sampling import Batches
from harness.training.seeds import derive
from harness.training.selection import Selector

NAME = "check"
# Snippets and label (0 normal) of each training video: more abnormal ones than normal ones, lengths of every kind.
VIDEOS = ((1, 0), (9, 0), (40, 0), (70, 0), (5, 1), (16, 1), (33, 2), (64, 2), (90, 1), (300, 2))
# Mean norm of a feature; that of CLIP's.
NORM = 10.0
WIDTHS = (512, 64)


@dataclass(frozen=True)
class Options:
    """How the method is configured, and how long the long video is: predicting it may take `memory` more bytes."""

    preset: str = "fast"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    text_tower: str | None = None
    snippets: int = 20_000
    memory: int = 2_000_000_000


class Subject:
    """One method class under check."""

    def __init__(self, cls: type[Method], options: Options) -> None:
        """Raises UserError if there is no such preset, setting or text tower, or the method cannot run on the task."""
        self.cls = contract.check_class(cls, getattr(cls, "__name__", str(cls)))
        self.options = options
        self.changes: list[str] = []
        self.state = ProcessState()
        check_preset(cls, options.preset, "fast")
        with contract.blamed(f"method {cls.card.name}"), setting_errors(cls, "--set", options.overrides):
            self.config: MethodConfig = cls.configure(NAME, options.preset, options.overrides)
        wanted = cls.card.feature_dims or WIDTHS
        with contract.blamed(f"method {cls.card.name}"):
            cls.check(self.task(wanted[0]))
            self.widths = (wanted[0], *(width for width in wanted[1:] if self._runs_on(width)))

    @cached_property
    def _tower(self) -> TextTower | None:
        return load_text_tower(self.options.text_tower) if self.cls.card.needs_text else None

    def task(self, width: int) -> Task:
        """Three classes on features of this width, half of it the sound where the method works with that."""
        sound = width // 2 if self.cls.card.track == "audio-visual" else 0
        prompts = "normal", "fire", "a person falling"
        return Task(NAME, ("Normal", "Fire", "Fall"), prompts, width, self._tower, sound, glances=True)

    def _runs_on(self, width: int) -> bool:
        try:
            self.cls.check(self.task(width))
        except Unsupported:
            return False
        return True

    @property
    def by_gradient(self) -> bool:
        """Whether the method trains by gradient."""
        return self.cls.card.training == "gradient"

    def build(self, seed: int = 0, width: int | None = None) -> Method:
        """Return the method with the weights that `seed` gives."""
        task = self.task(width or self.widths[0])
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, NAME, "init"))
            with watched(self.changes, "building it", may_draw=True):
                return self.cls(self.config, task)

    def learn(self, method: Method, steps: int, seed: int = 0, device: str = "cpu") -> list[EpochRecord]:
        """Let the method learn as its card says: by gradient for `steps` epochs of one step, or in closed form."""
        batches = self.batches(method, steps, seed) if self.by_gradient else None
        split = _training_split(method.task.dim) if batches is None else batches.split
        videos = training_videos(split, np.arange(len(split.items)))
        with watched(self.changes, "training", may_draw=True):
            if batches is not None:
                method.prepare(videos)
                return train(method, batches, Selector("last", contract.looks(method), None, ""), device)
            if method.card.training == "closed-form":
                method.fit(videos)
        return []

    def batches(self, method: Method, steps: int, seed: int = 0) -> Batches:
        """Batches of the method's own sampling, one per epoch, so that schedules of either interval move on."""
        sampling = dataclasses.replace(contract.sampling(method), epochs=steps, steps_per_epoch=1)
        split = _training_split(method.task.dim, crops=2 if sampling.crops == "together" else 1)
        clicks = self.cls.card.track == "glance"
        return Batches(split, np.arange(len(split.items)), sampling, seed, NAME, clicks=clicks)

    def terms(self, method: Method, batch: Batch) -> dict[str, Tensor]:
        """Loss terms of one batch."""
        method.train()
        with torch.random.fork_rng():
            torch.manual_seed(derive(0, NAME, "dropout"))
            with watched(self.changes, "training_loss", may_draw=True):
                return contract.terms(method, batch)

    @cached_property
    def learned(self) -> Method:
        """The method after a little learning; an untrained one may hide faults behind weights that start at zero."""
        method = self.build()
        self.learn(method, steps=3)
        return method

    def videos(self, *lengths: int, width: int | None = None) -> list[Tensor]:
        """Made-up videos `[T, D]`, cut to the window of a method that has one."""
        generator = np.random.default_rng(1)
        longest = self.window or max(lengths)
        drawn = [_features(generator, length, width or self.widths[0]) for length in lengths]
        return [torch.from_numpy(features[:longest]) for features in drawn]

    @cached_property
    def window(self) -> int | None:
        """Snippets of the windows in which the method reads, None where it reads whole videos."""
        return contract.reading(self.build()).window

    def predict(self, method: Method, videos: Sequence[Tensor], device: str = "cpu") -> Prediction:
        """Predict videos in one batch, zero-padded to the longest or to the window, as the harness does."""
        longest = self.window or max(map(len, videos))
        features = torch.stack([nn.functional.pad(video, (0, 0, 0, longest - len(video))) for video in videos])
        lengths = torch.tensor([len(video) for video in videos])
        method.eval()
        with torch.inference_mode(), watched(self.changes, "predict"):
            return contract.prediction(method, features.to(device), lengths.to(device))

    def read_long(self, method: Method, snippets: int) -> Tensor:
        """Predict one video of many snippets, in windows if the method has one; return its scores."""
        features = _features(np.random.default_rng(2), snippets, self.widths[0])
        split = Split((Item("long", 0, snippets),), np.zeros(1, dtype=np.int64), features, 1.0, 3)
        scores = [
            self.predict(method, [torch.from_numpy(features[p.start : p.start + p.length]) for p in group]).scores
            for group in grouped(pieces(split, self.window), self.window)
        ]
        return torch.cat([batch.flatten() for batch in scores])


def _features(generator: np.random.Generator, snippets: int, width: int) -> NDArray[np.float32]:
    drawn: NDArray[np.float32] = generator.standard_normal((snippets, width), dtype=np.float32)
    drawn *= np.float32(NORM / width**0.5)
    return drawn


def _training_split(width: int, crops: int = 1) -> Split:
    """The training videos; the middle of an abnormal one is shifted by its class, and clicked."""
    generator = np.random.default_rng(0)
    items, rows = [], []
    for number, (snippets, label) in enumerate(VIDEOS):
        for crop in range(crops):
            features = _features(generator, snippets, width)
            features[snippets // 3 : snippets // 3 + 4, label - 1] += NORM * (label > 0)
            items.append(Item(f"v{number}", crop, snippets, (label,)))
            rows.append(features)
    starts = np.cumsum([0, *(item.snippets for item in items)], dtype=np.int64)[:-1]
    clicked = {f"v{number}": (snippets // 3 + 0.5,) for number, (snippets, label) in enumerate(VIDEOS) if label}
    return Split(tuple(items), starts, np.concatenate(rows), 1.0, 3, clicked)
