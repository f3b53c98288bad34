"""Which training videos meet in which step, and the batches they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.bank import Split
from harness.errors import BrokenMethod, UserError
from harness.plugin.method import Batch, Sampling, TrainingPlan
from harness.training.fitting import FittedVideos, draw_stretches, place_clicks
from harness.training.seeds import derive


@dataclass(frozen=True)
class Batches:
    """The training batches of one run: what is drawn at a step depends on (seed, data set, step) alone.

    So a resumed training needs no generator state, and every method meets the same shuffles at the same seed. `scratch`
    is a file that may hold what was fitted once; without it, more than fits in memory is fitted anew each time.
    `clicks`: the batches say where the training videos were clicked, which is for methods of the track "glance" alone.
    """

    split: Split
    items: NDArray[np.int64]
    sampling: Sampling
    seed: int
    dataset: str
    scratch: Path | None = None
    clicks: bool = False

    def __post_init__(self) -> None:
        for name, members in self._lists.items():
            if not len(members):
                raise UserError(f"dataset {self.dataset}: the training split has no {name} videos")
        if self.clicks and self.sampling.fit not in ("pool", "pool-or-pad"):
            raise BrokenMethod(f"clicks are found in pooled videos, not where Sampling.fit is {self.sampling.fit!r}")

    @cached_property
    def _lists(self) -> dict[str, NDArray[np.int64]]:
        """Each list's members as rows of items, `[members, crops]`."""
        members = self._members
        if self.sampling.mode == "mixed":
            return {"any": members}
        normal = self.split.labels[members[:, 0], 0] > 0
        return {"normal": members[normal], "abnormal": members[~normal]}

    @property
    def _members(self) -> NDArray[np.int64]:
        if self.sampling.crops == "apart":
            return self.items[:, None]
        by_video: dict[str, list[int]] = {}
        for item in self.items.tolist():
            by_video.setdefault(self.split.items[item].video, []).append(item)
        counts = {len(items) for items in by_video.values()}
        if len(counts) > 1:
            raise UserError(
                f"dataset {self.dataset}: training videos have {min(counts)} to {max(counts)} crops; a method that "
                "learns from all crops of a video at once needs the same number everywhere: complete the data set, or "
                "import a crop that all videos have (`harness data import --crops 0`)"
            )
        return np.array(list(by_video.values()), dtype=np.int64)

    @property
    def plan(self) -> TrainingPlan:
        """Epochs, steps per epoch and batches per list."""
        list_batches = tuple(self._batches_of(len(members)) for members in self._lists.values())
        one_pass = max(list_batches) if self.sampling.epoch == "longer" else min(list_batches)
        steps = self.sampling.steps_per_epoch or one_pass
        return TrainingPlan(self.sampling.epochs, steps, list_batches)

    def _batches_of(self, videos: int) -> int:
        batch = min(self.sampling.batch, videos)
        return videos // batch if self.sampling.drop_last else -(-videos // batch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch (from 0)."""
        for step in range(self.plan.steps_per_epoch):
            yield self.batch(epoch, step)

    def batch(self, epoch: int, step: int) -> Batch:
        """Return the batch of a step of an epoch (both from 0)."""
        drawn = [self._draw(name, members, epoch, step) for name, members in self._lists.items()]
        normal = drawn[0].size if self.sampling.mode == "pairs" else 0
        return self._batch(np.concatenate(drawn), normal, epoch * self.plan.steps_per_epoch + step)

    def _draw(self, name: str, members: NDArray[np.int64], epoch: int, step: int) -> NDArray[np.int64]:
        size = min(self.sampling.batch, len(members))
        batches = self._batches_of(len(members))
        overall = epoch * self.plan.steps_per_epoch + step
        if self.sampling.restart == "step":
            turn, position = overall, 0
        elif self.sampling.restart == "exhausted":
            turn, position = divmod(overall, batches)
        else:
            # More steps than batches in an epoch: the list starts over in a new order.
            again, position = divmod(step, batches)
            turn = epoch + self.sampling.epochs * again
        chosen = slice(position * size, (position + 1) * size)
        if self.sampling.restart == "never":
            return members[chosen]
        generator = np.random.default_rng(derive(self.seed, self.dataset, "sampling", name, turn))
        return members[generator.permutation(len(members))[chosen]]

    def _batch(self, drawn: NDArray[np.int64], normal: int, overall: int) -> Batch:
        items = drawn.ravel()
        source = self.split if self.sampling.fit == "stretches" else self._fitted
        for item in items.tolist():  # all of them, before the first is touched
            source.will_need(item)
        if self.sampling.fit == "stretches":
            generator = np.random.default_rng(derive(self.seed, self.dataset, "sampling", "stretches", overall))
            fitted = [self._stretched(int(item), generator) for item in items]
        else:
            fitted = [self._fitted[int(item)] for item in items]
        return Batch(
            features=torch.from_numpy(np.stack([features for features, _ in fitted])),
            lengths=torch.tensor([length for _, length in fitted]),
            labels=torch.from_numpy(self.split.labels[items]),
            normal=normal,
            crops=drawn.shape[1],
            clicks=self._clicks(items),
        )

    def _clicks(self, items: NDArray[np.int64]) -> Tensor | None:
        """Where the items were clicked, `[B, T]`; None for methods that are not to know, and where nobody clicked."""
        glances, length = self.split.glances, self.sampling.length
        if not self.clicks or glances is None:
            return None
        placed = np.zeros((len(items), length), dtype=np.float32)
        for row, item in zip(placed, (self.split.items[index] for index in items.tolist()), strict=True):
            rows = length if self.sampling.fit == "pool" else min(item.snippets, length)
            row[:rows] = place_clicks(glances.get(item.video, ()), item.snippets, rows)
        return torch.from_numpy(placed)

    def _stretched(self, item: int, generator: np.random.Generator) -> tuple[NDArray[np.float32], int]:
        length = self.sampling.length
        features = self.split.item_features(item)
        return draw_stretches(features, length, self.sampling.stretch, generator), length

    @cached_property
    def _fitted(self) -> FittedVideos:
        return FittedVideos(self.split, self.items, self.sampling, self.scratch)


def ahead(batches: Iterator[Batch], device: str = "cpu") -> Iterator[Batch]:
    """Yield the same batches; the next one is made while one is in use, in memory that `device` can copy from."""
    if torch.device(device).type == "cuda":
        batches = (_with(batch, {k: v.pin_memory() for k, v in _held(batch).items()}) for batch in batches)
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = worker.submit(next, batches, None)
            yield batch


def moved(batch: Batch, device: str) -> Batch:
    """Return a batch on a device; from pinned memory it is copied while the host goes on."""
    if torch.device(device).type == "cpu":
        return batch
    there = {name: each.to(device, non_blocking=each.is_pinned()) for name, each in _held(batch).items()}
    return _with(batch, {**there, "host_lengths": batch.lengths})


def _held(batch: Batch) -> dict[str, Tensor]:
    """The tensors of a batch by name."""
    held = {name: getattr(batch, name) for name in ("features", "lengths", "labels", "clicks")}
    return {name: each for name, each in held.items() if each is not None}


def _with(batch: Batch, tensors: Mapping[str, Any]) -> Batch:
    return dataclasses.replace(batch, **tensors)
