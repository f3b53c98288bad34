"""Intervals over test videos for the rows of a board, computed once per set of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harness import alignment
from harness.metrics import bootstrap, frame
from harness.predictions import Predictions
from harness.report.memory import remembered
from harness.track import TrackedRun
from harness.truth import GroundTruth

Artifact = Callable[[TrackedRun, str], Path]
Ranges = dict[str, tuple[float, float]]

# Rounding of sums in another order.
_EXACT = 1e-9


def ranges(runs: Sequence[TrackedRun], truth: GroundTruth, artifact: Artifact, cache: Path | None) -> Ranges:
    """Return the 95% interval (low, high) of each frame metric's mean over `runs`, the seeds of one row.

    Raises:
        UserError: predictions are missing or are not of this test set.
    """

    def compute() -> Ranges:
        tables = [frame.snippet_table(Predictions.load(artifact(run, "predictions.npz")), truth) for run in runs]
        return bootstrap.intervals(tables, np.array([not video.abnormal for video in truth.videos.values()]))

    found = remembered(cache, (bootstrap, frame, alignment), runs, compute)
    return {name: (float(low), float(high)) for name, (low, high) in found.items()}


def outdated(runs: Sequence[TrackedRun], truth: GroundTruth, artifact: Artifact, cache: Path | None) -> bool:
    """Return whether a run recorded another frame AUC than its predictions give with the present code.

    Raises:
        UserError: predictions are missing or are not of this test set.
    """

    def compute() -> list[float | None]:
        tables = [frame.snippet_table(Predictions.load(artifact(run, "predictions.npz")), truth) for run in runs]
        return [frame.roc_auc(table.scores, table.positives, table.negatives) for table in tables]

    found = remembered(cache, (frame, alignment), runs, compute)
    recorded = [run.result.metrics.get("frame_auc") for run in runs]
    pairs = [(a, b) for a, b in zip(found, recorded, strict=True) if a is not None and b is not None]
    return any(abs(a - b) > _EXACT for a, b in pairs)
