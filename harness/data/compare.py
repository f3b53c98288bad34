"""Where a ground-truth vector of the community differs from ours, by video.

Such a vector (`gt-ucf.npy`, `gt-sh.npy`) is one label per frame or per snippet, all test videos one after another,
without names, borders or a word on its conventions. So the usual conventions are tried, and the nearest one is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import read_array
from harness.data.bank import Bank
from harness.errors import UserError
from harness.records.truth import GroundTruth, VideoTruth

Mask = NDArray[np.bool_]
# Label of a snippet, where the vector has one per snippet.
_UNITS = ("frames", "snippets with any positive frame", "snippets by their first frame")


@dataclass(frozen=True)
class VideoDifference:
    """One video: labels and positive ones on either side, and how many labels differ, the first at `first`."""

    video: str
    ours: tuple[int, int]
    theirs: tuple[int, int]
    count: int
    first: int

    def __str__(self) -> str:
        (length, positive), (their_length, their_positive) = self.ours, self.theirs
        lengths = f"{length}" if length == their_length else f"{length}, theirs {their_length}"
        where = f"{self.count} differ from {self.first} on"
        return f"{self.video}: {lengths} labels, {positive} positive, theirs {their_positive}; {where}"


@dataclass(frozen=True)
class TruthComparison:
    """The nearest convention, `fits` if its length is the vector's, and the videos that differ under it.

    `rest` are (labels, positive ones) behind the end of our last video.
    """

    convention: str
    labels: int
    fits: bool
    differences: tuple[VideoDifference, ...]
    rest: tuple[int, int]


@dataclass(frozen=True)
class _Convention:
    """A ground truth, an order, a length for every video and a unit."""

    name: str
    truth: GroundTruth
    order: tuple[str, ...]
    lengths: Mapping[str, int]
    unit: str

    @property
    def stride(self) -> int:
        return 1 if self.unit == "frames" else self.truth.alignment.stride

    @property
    def total(self) -> int:
        return sum(self.lengths.values()) // self.stride

    def masks(self) -> Iterator[tuple[str, Mask]]:
        for video in self.order:
            mask = _mask(self.truth.videos[video], self.lengths[video])
            if self.unit != "frames":
                rows = mask.reshape(-1, self.stride)
                mask = np.logical_or.reduce(rows, axis=1) if self.unit == _UNITS[1] else rows[:, 0]
            yield video, mask


def read_vector(path: Path) -> Mask:
    """Return a vector of labels `[N]`, frames or snippets.

    Raises:
        UserError: it is pickled (then the annotations are the way), or holds other values than 0 and 1.
    """
    vector = read_array(
        path,
        "nothing is lost: `harness data import` builds the ground truth from the annotation file itself, and what is "
        "compared here is a plain 0/1 vector such as gt-ucf.npy",
    )
    vector = vector.reshape(-1) if vector.size == max(vector.shape, default=0) else vector
    if vector.ndim != 1 or not np.isin(vector, (0, 1)).all():
        raise UserError(f"{path}: expected a vector of 0 and 1, one per frame or snippet, found shape {vector.shape}")
    return vector.astype(bool)


def compare_truth(bank: Bank, vector: Mask) -> TruthComparison:
    """Compare a vector `[N]` with the bank's ground truth under the convention that is nearest to it."""
    snippets = {item.video: item.snippets for item in bank.split("test").items}
    best: TruthComparison | None = None
    for convention in _conventions(bank, snippets):
        if best is not None and best.fits and convention.total != len(vector):
            continue
        found = _compared(convention, vector)
        if best is None or _distance(found) < _distance(best):
            best = found
    assert best is not None
    return best


def _distance(found: TruthComparison) -> tuple[bool, int, int]:
    return not found.fits, sum(difference.count for difference in found.differences), found.rest[0]


def _conventions(bank: Bank, snippets: Mapping[str, int]) -> Iterator[_Convention]:
    """Every combination, those first that are protocols of the card as they stand."""
    truths = {"": bank.truth()} | {f"@{name}": Bank(bank.path, name).truth() for name in bank.variants}
    stride = bank.card.alignment.stride
    whole = bank.card.alignment.kind == "stride"
    rules: dict[str, Callable[[str, int], int]] = {"as they are": lambda video, frames: frames}
    if whole:
        rules |= {
            "rounded up to whole snippets": lambda video, frames: -(-frames // stride) * stride,
            "rounded down to whole snippets": lambda video, frames: frames // stride * stride,
            "rounded down without the last frame": lambda video, frames: (frames - 1) // stride * stride,
            "as many as the features stand for": lambda video, frames: snippets[video] * stride,
        }
    for (rule, length), (name, truth), unit in product(rules.items(), truths.items(), _UNITS if whole else _UNITS[:1]):
        lengths = {video: length(video, each.frames) for video, each in truth.videos.items()}
        if unit != "frames" and any(each % stride for each in lengths.values()):
            continue
        videos = tuple(truth.videos)
        abnormal_first = tuple(sorted(videos, key=lambda video: not truth.videos[video].abnormal))
        for order, listed in (("list order", videos), ("abnormal first", abnormal_first)):
            yield _Convention(f"{bank.card.name}{name}, {unit}, {order}, lengths {rule}", truth, listed, lengths, unit)


def _mask(video: VideoTruth, length: int) -> Mask:
    """Labels of a video that is taken to be `length` frames long; an event at its end goes on to the new end."""
    mask = np.zeros(length, dtype=bool)
    for event in video.events:
        mask[event.start : length if event.end == video.frames else event.end] = True
    return mask


def _compared(convention: _Convention, vector: Mask) -> TruthComparison:
    differences = []
    at = 0
    for video, ours in convention.masks():
        theirs = vector[at : at + len(ours)]
        at += len(ours)
        wrong = np.flatnonzero(ours[: len(theirs)] != theirs)
        count = len(wrong) + len(ours) - len(theirs)
        if count:
            first = int(wrong[0]) if len(wrong) else len(theirs)
            sides = (len(ours), int(ours.sum())), (len(theirs), int(theirs.sum()))
            differences.append(VideoDifference(video, *sides, count, first))
    rest = vector[at:]
    return TruthComparison(convention.name, at, at == len(vector), tuple(differences), (len(rest), int(rest.sum())))
