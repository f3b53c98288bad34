"""What disturbs a training or a test set, as functions from splits to splits; no bank is copied.

All is drawn by (seed, data set) and not by method or level: at one seed all methods meet the same flips, and what a
lower level disturbs, a higher one disturbs too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Bank, Item, Split
from harness.errors import UserError
from harness.records.disturbance import Disturbance, disturbance_of
from harness.training.seeds import derive

# Rows, evenly spaced, that tell how far each channel of a split varies.
SAMPLE = 4096

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class ChangedSplit(Split):
    """A split whose features change as they are read.

    `change` takes an item, the first of its snippets that is asked for, and their scaled rows `[T, D]`, its own to
    write to.
    """

    change: Callable[[Item, int, Rows], Rows] = field(kw_only=True)

    def item_features(self, index: int, start: int = 0, stop: int | None = None) -> Rows:
        """As `Split.item_features`, changed."""
        return self.change(self.items[index], start, super().item_features(index, start, stop))


def fitting(wanted: Disturbance, bank: Bank) -> str:
    """Return a disturbance as a run has it, "" at the level that leaves everything as it is.

    Raises:
        UserError: the features have nothing that it could disturb.
    """
    where, none = f"{bank.card.name}/{bank.features_name}", wanted.kind.none
    if wanted.name == "missing-crops":
        crops = most_crops(bank)
        if crops < 2:
            raise UserError(f"missing-crops: the test videos of {where} have one crop, so that none can be missing")
        return str(wanted) if wanted.level < crops else ""
    if wanted.name == "dropped-audio" and not bank.card.features[bank.features_name].audio_dim:
        raise UserError(f"dropped-audio: {where} has no sound (no audio_dim in the card), so that none can be dropped")
    return "" if wanted.level == none else str(wanted)


def most_crops(bank: Bank) -> int:
    """Return how many crops a test video has; of different numbers the largest."""
    return max((len(items) for items in _by_video(bank.split("test")).values()), default=0)


def disturbed_training(split: Split, disturbance: str, seed: int, dataset: str, classes: Sequence[int]) -> Split:
    """Return a training split with labels flipped, or with fewer videos; all crops of a video go together.

    Args:
        disturbance: as a run's spec has it; one of the test, or "", changes nothing.
        classes: the abnormal classes that a flipped normal video may take.
    """
    wanted = disturbance_of(disturbance) if disturbance else None
    if wanted is None or wanted.kind.part != "training":
        return split
    generator = np.random.default_rng(derive(seed, dataset, "disturbance", wanted.name))
    labels = {video: items[0].labels for video, items in _by_video(split).items()}
    taken: set[str] = set()
    for abnormal in (False, True):
        kind = [video for video, own in sorted(labels.items()) if any(own) == abnormal]
        least = 1 if wanted.name == "fewer-videos" else 0
        taken.update(_share(kind, wanted.level, generator, least))
    if wanted.name == "fewer-videos":
        return split.subset(np.array([item.video in taken for item in split.items], dtype=bool))
    drawn = dict(zip(sorted(labels), generator.choice(classes, size=len(labels)).tolist(), strict=True))
    flipped = {video: (0,) if any(labels[video]) else (drawn[video],) for video in taken}
    items = [replace(item, labels=flipped.get(item.video, item.labels)) for item in split.items]
    return replace(split, items=tuple(items))


def disturbed_test(split: Split, disturbance: str, seed: int, dataset: str, audio_dim: int) -> Split:
    """Return a test split with fewer crops, with noise on its features, or with silent videos.

    Args:
        disturbance: as a run's spec has it; one of the training, or "", changes nothing.
        audio_dim: how many of the last channels are of the sound.
    """
    wanted = disturbance_of(disturbance) if disturbance else None
    if wanted is None or wanted.kind.part != "test":
        return split
    if wanted.name == "missing-crops":
        kept = {(item.video, item.crop) for own in _by_video(split).values() for item in own[: int(wanted.level)]}
        return split.subset(np.array([(item.video, item.crop) in kept for item in split.items], dtype=bool))
    change = (
        _noise(split, wanted.level, seed, dataset)
        if wanted.name == "feature-noise"
        else _silence(split, wanted.level, seed, dataset, audio_dim)
    )
    return ChangedSplit(split.items, split.starts, split.features, split.scale, split.classes, change=change)


def _noise(split: Split, level: float, seed: int, dataset: str) -> Callable[[Item, int, Rows], Rows]:
    rows = split.features[np.linspace(0, len(split.features) - 1, min(len(split.features), SAMPLE), dtype=int)]
    deviation = (level * split.scale * rows.astype(np.float64).std(axis=0)).astype(np.float32)

    def change(item: Item, start: int, values: Rows) -> Rows:
        stream = derive(seed, dataset, "disturbance", "feature-noise", item.video, item.crop)
        noise = _normal(stream, item.snippets, values.shape[1])[start : start + len(values)]
        values += deviation * noise
        return values

    return change


@lru_cache(maxsize=1)  # the windows of a video are read one after another
def _normal(stream: int, snippets: int, dim: int) -> Rows:
    """Standard normal noise of one item `[T, D]`, the same whichever of its snippets are asked for."""
    return np.random.default_rng(stream).standard_normal((snippets, dim), dtype=np.float32)


def _silence(split: Split, level: float, seed: int, dataset: str, audio_dim: int) -> Callable[[Item, int, Rows], Rows]:
    generator = np.random.default_rng(derive(seed, dataset, "disturbance", "dropped-audio"))
    silent = set(_share(sorted(_by_video(split)), level, generator))

    def change(item: Item, start: int, values: Rows) -> Rows:
        if item.video in silent and audio_dim:
            values[:, -audio_dim:] = 0
        return values

    return change


def _share(videos: Sequence[str], share: float, generator: np.random.Generator, least: int = 0) -> list[str]:
    """A share of the videos in random order, of which a larger share holds all; at least `least` if there are any."""
    order = generator.permutation(len(videos))
    return [videos[index] for index in order[: max(round(share * len(videos)), least)]]


def _by_video(split: Split) -> dict[str, list[Item]]:
    """The items of each video, in the order of crops."""
    found: dict[str, list[Item]] = {}
    for item in split.items:
        found.setdefault(item.video, []).append(item)
    return {video: sorted(items, key=lambda item: item.crop) for video, items in found.items()}
