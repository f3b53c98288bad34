"""From videos of any length to training batches and test windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.errors import UserError
from harness.method import Batch, Sampling, TrainingPlan
from harness.seeds import derive

# Pooled training videos are kept in memory up to this size, because pooling them again costs more than a small step.
KEPT_BYTES = 1 << 29


def pool_segments(features: NDArray[np.float32], segments: int) -> NDArray[np.float32]:
    """Return the means `[S, D]` of S segments of a video `[T, D]` (Sultani et al. 2018, as the field computes them).

    Segment i is the mean of rows e[i] .. e[i+1]-1 with e = linspace(0, T, S+1) cut to int, or row e[i] alone if that
    is empty. The float formula matters: integer division gives other edges for many T when S = 200.
    """
    edges = np.linspace(0, len(features), segments + 1, dtype=int)
    # reduceat sums rows [start, next start) and takes the single row where that is empty.
    sums = np.add.reduceat(features, edges[:-1], axis=0)
    counts = np.maximum(np.diff(edges), 1)[:, None].astype(np.float32)
    return np.divide(sums, counts, dtype=np.float32)


def pick_rows(features: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return `count` evenly spaced rows `[count, D]` of a video `[T, D]`, first and last included."""
    return features[np.linspace(0, len(features) - 1, count, dtype=int)]


def draw_stretches(
    features: NDArray[np.float32], length: int, stretch: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return `length` rows: evenly spread stretches of `stretch` consecutive rows (AnomalyCLIP, arXiv 2310.02835).

    Each stretch starts at random within its share of the video; rows beyond the video's end are its first ones again.
    """
    pieces, tail = length // stretch, stretch - 1
    share = (max(len(features), length) - tail) // pieces
    starts = np.arange(pieces) * share + generator.integers(max(share + 1 - tail, 1), size=pieces)
    rows: NDArray[np.float32] = features[(starts[:, None] + np.arange(stretch)).ravel() % len(features)]
    return rows


def fit_length(features: NDArray[np.float32], sampling: Sampling) -> tuple[NDArray[np.float32], int]:
    """Bring a training video `[T, D]` to `sampling.length` snippets; return it and its number of valid snippets."""
    length = sampling.length
    if sampling.fit == "pick-or-pad" and len(features) > length:
        return pick_rows(features, length), length
    if sampling.fit == "pool" or len(features) > length:
        return pool_segments(features, length), length
    padded = np.zeros((length, features.shape[1]), dtype=np.float32)
    padded[: len(features)] = features
    return padded, len(features)


@dataclass(frozen=True)
class Batches:
    """The training batches of one run: what is drawn at a step depends on (seed, data set, step) alone.

    So a resumed training needs no generator state, and every method meets the same shuffles at the same seed.
    """

    split: Split
    items: NDArray[np.int64]
    sampling: Sampling
    seed: int
    dataset: str
    _kept: dict[int, tuple[NDArray[np.float32], int]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, members in self._lists.items():
            if not len(members):
                raise UserError(f"dataset {self.dataset}: the training split has no {name} videos")

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
                "learns from all crops of a video at once needs the same number everywhere"
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
        steps = self.plan.steps_per_epoch
        for step in range(steps):
            drawn = [self._draw(name, members, epoch, step) for name, members in self._lists.items()]
            normal = drawn[0].size if self.sampling.mode == "pairs" else 0
            yield self._batch(np.concatenate(drawn), normal, epoch * steps + step)

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
        if self.sampling.fit == "stretches":
            generator = np.random.default_rng(derive(self.seed, self.dataset, "sampling", "stretches", overall))
            fitted = [self._stretched(int(item), generator) for item in items]
        else:
            fitted = [self._fitted(int(item)) for item in items]
        return Batch(
            features=torch.from_numpy(np.stack([features for features, _ in fitted])),
            lengths=torch.tensor([length for _, length in fitted]),
            labels=torch.from_numpy(self.split.labels[items]),
            normal=normal,
            crops=drawn.shape[1],
        )

    def _stretched(self, item: int, generator: np.random.Generator) -> tuple[NDArray[np.float32], int]:
        length = self.sampling.length
        features = self.split.item_features(item)
        return draw_stretches(features, length, self.sampling.stretch, generator), length

    def _fitted(self, item: int) -> tuple[NDArray[np.float32], int]:
        if item in self._kept:
            return self._kept[item]
        fitted = fit_length(self.split.item_features(item), self.sampling)
        if (len(self._kept) + 1) * fitted[0].nbytes <= KEPT_BYTES:
            self._kept[item] = fitted
        return fitted


def validation_items(split: Split, seed: int, dataset: str, part: float = 0.15) -> NDArray[np.bool_]:
    """Return which items `[items]` belong to the validation part: `part` of the videos of every label combination.

    At least one video of each kind with two or more; all crops of a video go together. The part depends on
    (seed, data set) alone.
    """
    first = {item.video: item.labels for item in reversed(split.items)}
    by_label: dict[tuple[int, ...], list[str]] = {}
    for video in sorted(first):
        by_label.setdefault(first[video], []).append(video)
    chosen: set[str] = set()
    for labels, videos in sorted(by_label.items()):
        generator = np.random.default_rng(derive(seed, dataset, "validation", *labels))
        count = max(1, round(part * len(videos))) if len(videos) > 1 else 0
        chosen.update(videos[i] for i in generator.permutation(len(videos))[:count])
    return np.array([item.video in chosen for item in split.items])
