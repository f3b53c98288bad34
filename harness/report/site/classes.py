"""What a board says class by class: AUC by class as a heat map, and which class is taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Board

STEPS = 10


@dataclass(frozen=True)
class Confusion:
    """Videos of each class (rows) taken for each class (columns), summed over the seeds of one row of the board.

    `accuracy` is the share on the diagonal.
    """

    key: int
    name: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    seeds: int
    accuracy: float


def shade(value: float, low: float = 0.0, high: float = 1.0) -> int:
    """Return the step of the colour scale, 0 to `STEPS`, of a value between `low` and `high`."""
    return round(STEPS * min(max((value - low) / ((high - low) or 1), 0), 1))


def class_names(board: Board) -> list[str]:
    """The classes that any row has an AUC of, in the order of the rows."""
    return list(dict.fromkeys(name for row in board.rows for name in row.class_auc))


def confusions(
    names: Sequence[str], seeds: Sequence[int], found: Sequence[Mapping[str, Any]], truth: GroundTruth
) -> list[Confusion]:
    """Return the confusion of each row whose predictions have class probabilities; none with one anomaly class.

    Args:
        names: of the rows of a board.
        seeds: how many each has.
        found: what `row_pictures` returned of them.
        truth: of the board.
    """
    made = []
    for key, (name, count, row) in enumerate(zip(names, seeds, found, strict=True)):
        counts = np.array(row.get("confusion", []))
        if len(counts) > 1 and counts.sum():
            # Classes without a test video would be empty lines.
            there = np.flatnonzero(counts.sum(axis=1) + counts.sum(axis=0))
            kept = counts[np.ix_(there, there)]
            named = tuple(truth.classes[index + 1] for index in there)
            accuracy = float(np.trace(counts) / counts.sum())
            rows = tuple(tuple(map(int, line)) for line in kept)
            made.append(Confusion(key, name, named, rows, count, accuracy))
    return made
