"""Do two sets of features say the same of the same videos: lengths, cosines by snippet and crop, norms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.spelling import listed_as
from harness.errors import UserError
from harness.video.feature_input import Video

# Cosines above which features are the same but for rounding, and of one kind.
SAME, NEAR = 0.9995, 0.97


@dataclass(frozen=True)
class Agreement:
    """Features of one video, ours and theirs.

    `cosine` is the mean over snippets by their crop, `worst` the lowest of all, `norms` the mean ratio of our norms to
    theirs, `places` which of our `crops` each of theirs is nearest to. Rows beyond the shorter one are not compared.
    """

    video: str
    ours: int
    theirs: int
    cosine: tuple[float, ...]
    worst: float
    norms: float
    places: tuple[int, ...]
    crops: int

    @property
    def reordered(self) -> bool:
        """Whether both have the same crops in another order."""
        return len(self.places) == self.crops and self.places != tuple(range(self.crops))

    @property
    def mean(self) -> float:
        """Mean cosine over crops."""
        return float(np.mean(self.cosine))

    def __str__(self) -> str:
        lengths = (
            f"{self.ours:,} snippets" if self.ours == self.theirs else f"{self.ours:,} and {self.theirs:,} snippets"
        )
        moved = ""
        if self.reordered:
            moved = f", their crops are nearest to ours {', '.join(map(str, self.places))}"
        return (
            f"{self.video}: {lengths}, cosine {self.mean:.4f} (lowest {self.worst:.4f}), norms x{self.norms:.3f}{moved}"
        )


def agreements(ours: Iterable[Video], theirs: Iterable[Video]) -> list[Agreement]:
    """Return how the videos that are in both agree, in our order.

    Raises:
        UserError: no video is in both, or widths differ.
    """
    given = {video.name: video.features for video in theirs}
    found, seen = [], []
    for video in ours:
        seen.append(video.name)
        name = listed_as(video.name, given)
        if name is not None:
            found.append(agreement(video.name, video.features, given[name]))
    if not found:
        example = f" (ours {seen[0]}, theirs {next(iter(given))})" if seen and given else ""
        raise UserError(f"--against: no video is in both{example}; files must have the names of videos")
    return found


def agreement(video: str, ours: NDArray[Any], theirs: NDArray[Any]) -> Agreement:
    """Return how features `[T, C, D]` of one video agree; raises UserError where their widths differ."""
    if ours.shape[2] != theirs.shape[2]:
        raise UserError(
            f"{video}: ours are {ours.shape[2]}-d, theirs {theirs.shape[2]}-d; they are of different towers"
        )
    length = min(len(ours), len(theirs))
    if not length:
        raise UserError(f"{video}: has no snippet")
    a, b = (array[:length].astype(np.float64) for array in (ours, theirs))
    cosines = _cosines(a, b)  # [T, C ours, C theirs]
    means = cosines.mean(axis=0)
    places = means.argmax(axis=0)
    chosen = cosines[:, places, np.arange(b.shape[1])]
    norms = np.linalg.norm(a[:, places], axis=2) / np.maximum(np.linalg.norm(b, axis=2), 1e-12)
    return Agreement(
        video,
        len(ours),
        len(theirs),
        tuple(chosen.mean(axis=0).tolist()),
        float(chosen.min()),
        float(norms.mean()),
        tuple(places.tolist()),
        a.shape[1],
    )


def verdict(found: Iterable[Agreement]) -> str:
    """Return in words what comparisons of several videos say together."""
    every = list(found)
    cosine, worst = float(np.mean([each.mean for each in every])), min(each.worst for each in every)
    kind = "the same but for rounding" if worst > SAME else "of one kind" if cosine > NEAR else "of another kind"
    lengths = {each.theirs - each.ours for each in every}
    tail = {
        frozenset({0}): "of equal lengths",
        frozenset({-1}): "theirs one snippet shorter: a last one that is not full is dropped there",
        frozenset({0, -1}): "theirs shorter by one in some: a last snippet that is not full is dropped there",
        frozenset({1}): "theirs one snippet longer: ours drop a last one that is not full",
        frozenset({0, 1}): "theirs longer by one in some: ours drop a last snippet that is not full",
    }.get(frozenset(lengths), f"lengths differ by {min(lengths)} to {max(lengths)} snippets")
    moved = all(each.reordered for each in every) and len({each.places for each in every}) == 1
    order = f"; their crops are ours in the order {', '.join(map(str, every[0].places))}" if moved else ""
    ratio = float(np.mean([each.norms for each in every]))
    norms = "" if abs(ratio - 1) < 0.02 else f"; their norms are {1 / ratio:.3g} of ours"
    return (
        f"{len(every):,} videos compared: {kind} (mean cosine {cosine:.4f}, lowest {worst:.4f}), {tail}{order}{norms}"
    )


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines `[T, C, C']` of rows `[T, C, D]` and `[T, C', D]`."""
    a, b = (rows / np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1e-12) for rows in (a, b))
    return np.asarray(np.einsum("tcd,ted->tce", a, b))
