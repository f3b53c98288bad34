"""What a board says class by class: AUC by class as a heat map, and which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from harness.errors import HarnessError
from harness.metrics import confusion
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Board, Row
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.memory import remembered

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
    board: Board, names: Sequence[str], truth: GroundTruth, artifact: Artifact, cache: Path | None
) -> list[Confusion]:
    """Return the confusion of each row whose predictions have class probabilities; none with one anomaly class."""
    found = []
    for key, (row, name) in enumerate(zip(board.rows, names, strict=True)):
        compute = partial(_counts, row, truth, artifact)
        try:
            counts = np.array(remembered(cache, (confusion,), row.members, compute))
        except HarnessError:
            continue
        if len(counts) > 1 and counts.sum():
            # Classes without a test video would be empty lines.
            there = np.flatnonzero(counts.sum(axis=1) + counts.sum(axis=0))
            kept = counts[np.ix_(there, there)]
            named = tuple(truth.classes[index + 1] for index in there)
            accuracy = float(np.trace(counts) / counts.sum())
            rows = tuple(tuple(map(int, line)) for line in kept)
            found.append(Confusion(key, name, named, rows, len(row.members), accuracy))
    return found


def _counts(row: Row, truth: GroundTruth, artifact: Artifact) -> list[list[int]]:
    """The confusion summed over the row's seeds; empty without class probabilities."""
    loaded = [Predictions.load(artifact(run, "predictions.npz")).of(truth.videos) for run in row.members]
    if any(each.class_probs is None for each in loaded):
        return []
    counts: list[list[int]] = np.sum([confusion.confusion(each, truth) for each in loaded], axis=0).tolist()
    return counts
