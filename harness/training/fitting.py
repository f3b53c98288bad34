"""From training videos of any length to the length that a method trains on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.io.scratch_rows import ScratchRows
from harness.plugin.method import Sampling

# Up to this size the fitted videos are kept in memory: fitting a video again costs more than a small training step.
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


def place_clicks(glances: Sequence[float], snippets: int, segments: int) -> NDArray[np.float32]:
    """Return 1 at the clicked ones of S segments `[S]` of a video of n `snippets`, else 0.

    `glances` are places in snippets, in order (GlanceVAD, arXiv 2403.06154, in its code's order of operations). A click
    beyond the end is one on the last segment; a video whose first click is frame 0 counts as one without, as published.
    """
    placed = np.zeros(segments, dtype=np.float32)
    if glances and glances[0] > 0:
        for place in glances:
            placed[min(int(place / snippets * segments), segments - 1)] = 1
    return placed


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


class FittedVideos:
    """The `items` of a split at training length, each fitted when it is first asked for.

    They lie in memory up to `KEPT_BYTES`, beyond that in the file `scratch`. Without one, only as many as fit in memory
    are kept.

    Raises:
        Unwritable: there is no room for `scratch`.
    """

    def __init__(self, split: Split, items: NDArray[np.int64], sampling: Sampling, scratch: Path | None) -> None:
        self._split, self._sampling = split, sampling
        self._row = {int(item): row for row, item in enumerate(items)}
        self._lengths = np.zeros(len(items), dtype=np.int64)
        shape = (sampling.length, split.features.shape[1])
        self._kept: NDArray[np.float32] | ScratchRows
        if fitted_bytes(split, items, sampling) <= KEPT_BYTES or scratch is None:
            fits = KEPT_BYTES // max(4 * shape[0] * shape[1], 1)
            self._kept = np.empty((min(len(items), fits), *shape), dtype=np.float32)
        else:
            self._kept = ScratchRows(scratch, len(items), shape)

    def will_need(self, item: int) -> None:
        """Say that a video will be asked for soon, so that the disk can begin."""
        row = self._row[item]
        if not self._keeps(row):
            self._split.will_need(item)
        elif isinstance(self._kept, ScratchRows):
            self._kept.will_need(row)

    def __getitem__(self, item: int) -> tuple[NDArray[np.float32], int]:
        """Return a video `[T, D]` at training length and its number of valid snippets."""
        row = self._row[item]
        if self._keeps(row):
            return self._kept[row], int(self._lengths[row])
        fitted, length = fit_length(self._split.item_features(item), self._sampling)
        if row < len(self._kept):
            self._kept[row], self._lengths[row] = fitted, length
        return fitted, length

    def _keeps(self, row: int) -> bool:
        return row < len(self._kept) and bool(self._lengths[row])


def scratch_bytes(split: Split, sampling: Sampling) -> int:
    """Return the bytes that `scratch` takes for all items of a split."""
    needed = fitted_bytes(split, np.arange(len(split.items)), sampling)
    return needed if needed > KEPT_BYTES and sampling.fit != "stretches" else 0


def fitted_bytes(split: Split, items: NDArray[np.int64], sampling: Sampling) -> int:
    """Return the bytes of these items at training length."""
    return 4 * len(items) * sampling.length * int(split.features.shape[1])
