"""Disturbances: what a robustness study makes worse, of the training or of the test alone, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.errors import UserError
from harness.printable import shortened


@dataclass(frozen=True)
class Kind:
    """One kind of disturbance: which `part` of a run it is of, and what its level means (`axis`, in a few words).

    At the level `none` nothing is disturbed; None where that follows from the data set. `levels` are the standard ones,
    from nothing to the most. `says` is what happens, in a sentence.
    """

    part: Literal["training", "test"]
    axis: str
    none: float | None
    levels: tuple[float, ...]
    says: str


KINDS: dict[str, Kind] = {
    "label-noise": Kind(
        "training",
        "share of the training labels flipped",
        0,
        (0, 0.05, 0.1, 0.2, 0.4),
        "The labels of a share of the training videos are flipped, of normal and of abnormal ones alike: normal ones "
        "take an abnormal class at random. Every level is a training of its own; the test set stays as it is.",
    ),
    "fewer-videos": Kind(
        "training",
        "share of the training videos kept",
        1,
        (1, 0.5, 0.25, 0.1),
        "A share of the training videos is kept, of normal and of abnormal ones alike. Every level is a training of "
        "its own; the test set stays as it is.",
    ),
    "feature-noise": Kind(
        "test",
        "noise, in standard deviations of each feature channel",
        0,
        (0, 0.1, 0.25, 0.5, 1),
        "Gaussian noise is added to the features of the test videos, its standard deviation a share of each channel's "
        "own. The test alone is disturbed: all levels have the same weights, trained without noise.",
    ),
    "missing-crops": Kind(
        "test",
        "crops of each test video",
        None,
        (5, 2, 1),
        "Test videos keep their first crops only. The test alone is disturbed: all levels have the same weights, "
        "trained on all crops.",
    ),
    "dropped-audio": Kind(
        "test",
        "share of the test videos without sound",
        0,
        (0, 0.25, 0.5, 1),
        "The audio channels of a share of the test videos are zero. The test alone is disturbed: all levels have the "
        "same weights, trained with sound.",
    ),
}


@dataclass(frozen=True)
class Disturbance:
    """A kind and its level, such as `label-noise 0.2`."""

    name: str
    level: float

    def __str__(self) -> str:
        return f"{self.name} {self.level:g}"

    @property
    def kind(self) -> Kind:
        """What its name stands for."""
        return KINDS[self.name]


def disturbance_of(text: str) -> Disturbance:
    """Return the disturbance that two words name: one of `KINDS`, and its level.

    Raises:
        UserError: there is no such kind, or it has no such level.
    """
    name, _, amount = text.strip().partition(" ")
    if name not in KINDS:
        raise UserError(
            f"disturbance {shortened(repr(text))}: expected {', '.join(KINDS)} and a level, such as 'label-noise 0.2'"
        )
    try:
        # As it is written, so that equal words are equal disturbances.
        level = float(f"{float(amount):g}")
    except ValueError:
        level = math.nan
    least, most, expected = _range(name)
    if not least <= level <= most or (name == "missing-crops" and level != int(level)):
        raise UserError(f"disturbance {shortened(repr(text))}: expected {expected} behind {name}")
    return Disturbance(name, level)


def _range(name: str) -> tuple[float, float, str]:
    if name == "missing-crops":
        return 1, 1000, "a whole number of crops, at least 1,"
    if name == "feature-noise":
        return 0, 1000, "a number of standard deviations, at least 0,"
    if name == "fewer-videos":
        return 0.001, 1, "a share above 0, at most 1,"
    return 0, 1, "a share from 0 to 1"
