"""Snippets of a test set, drawn at random: neither their choice nor their order knows a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Split

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Snippets:
    """Rows `[N, D]`, which snippet each is (video, number within it), and in words what the rows are.

    `counts` says how many snippets each video has.
    """

    rows: Floats
    videos: tuple[str, ...]
    numbers: NDArray[np.int64]
    counts: Mapping[str, int]
    what: str


def first_items(split: Split) -> dict[str, int]:
    """Return the number of each video's item; of videos with crops that of the first."""
    first: dict[str, int] = {}
    for index, item in enumerate(split.items):
        first.setdefault(item.video, index)
    return first


def given_snippets(split: Split, most: int, seed: int = 0) -> Snippets:
    """Return features of at most `most` snippets of a test split, drawn at random; of videos with crops the first."""
    first = first_items(split)
    counts = {video: split.items[index].snippets for video, index in first.items()}
    pairs = [(video, at) for video, count in counts.items() for at in range(count)]
    chosen = [pairs[n] for n in _drawn(len(pairs), most, seed)]
    rows = np.stack([split.item_features(first[video], at, at + 1)[0] for video, at in chosen]).astype(np.float32)
    numbers = np.array([at for _, at in chosen], dtype=np.int64)
    return Snippets(rows, tuple(video for video, _ in chosen), numbers, counts, f"{rows.shape[1]}-d features")


def _drawn(count: int, most: int, seed: int) -> NDArray[np.int64]:
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
