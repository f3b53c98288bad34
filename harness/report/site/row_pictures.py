"""What the pictures of a board show of each row: all from one look at its predictions, computed once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.metrics import bootstrap, calibration, confusion, curves, frame, histograms
from harness.metrics.frame import SnippetTable
from harness.records import alignment
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Row
from harness.report.leaderboard.uncertainty import Artifact, normal_videos
from harness.report.memory import known, remembered
from harness.report.parallel import begun
from harness.report.site import run_scores, thinned, timelines

_CODE = (
    *(bootstrap, calibration, confusion, curves, frame, histograms, alignment, run_scores, thinned, timelines),
    sys.modules[__name__],
)
Task = tuple[tuple[Path, ...], GroundTruth]
# Gives what is drawn of each row of a board, waiting for it if need be.
Pictures = Callable[[], list[dict[str, Any]]]


def row_pictures(rows: Sequence[Row], truth: GroundTruth, artifact: Artifact, cache: Path | None) -> Pictures:
    """Begin what is drawn of each row, and return what gives it: "curves", "confusion" and the "line" of its timelines.

    Empty for a row whose predictions are not all here. What no cache has is computed on all cores if it is much.
    """
    # Asked for even where all is known already: a file that is damaged is told.
    places = [_paths(row, artifact) for row in rows]
    tasks: dict[int, Task] = {}
    for key, (row, paths) in enumerate(zip(rows, places, strict=True)):
        if paths and not known(cache, _CODE, row.members):
            tasks[key] = (paths, truth)
    coming = begun(_without_errors, list(tasks.values()))

    def pictures() -> list[dict[str, Any]]:
        early = dict(zip(tasks, coming(), strict=True))
        found: list[dict[str, Any]] = []
        for key, (row, paths) in enumerate(zip(rows, places, strict=True)):

            def compute(key: int = key, paths: tuple[Path, ...] = paths) -> dict[str, Any]:
                done = early.get(key)
                return _computed((paths, truth)) if done is None else done

            try:
                found.append(dict(remembered(cache, _CODE, row.members, compute)) if paths else {})
            except HarnessError:
                found.append({})
        return found

    return pictures


def _paths(row: Row, artifact: Artifact) -> tuple[Path, ...]:
    """Where the predictions of a row's runs are; () unless all are here, as they were written."""
    try:
        return tuple(artifact(run, "predictions.npz") for run in row.members)
    except HarnessError:
        return ()


def _without_errors(task: Task) -> dict[str, Any] | None:
    try:
        return _computed(task)
    except HarnessError:
        return None


def _computed(task: Task) -> dict[str, Any]:
    paths, truth = task
    loaded = [Predictions.load(path) for path in paths]
    found: dict[str, Any] = {"line": timelines.line(loaded, truth)}
    with contextlib.suppress(HarnessError):  # the board's cautions say that predictions do not fit
        fitting = [predictions.of(truth.videos) for predictions in loaded]
        found["curves"] = _curves([frame.snippet_table(predictions, truth) for predictions in fitting], truth)
        if all(predictions.class_probs is not None for predictions in fitting):
            counts = [confusion.confusion(predictions, truth) for predictions in fitting]
            found["confusion"] = np.sum(counts, axis=0).tolist()
    return found


def _curves(tables: Sequence[SnippetTable], truth: GroundTruth) -> dict[str, Any]:
    """(x, mean, low, high) of both curves, and (score, share) of the calibration."""
    mean = curves.curves(tables)
    found: dict[str, Any] = {}
    if mean is not None:
        counted = [histograms.histograms(table, len(truth.videos)) for table in tables]
        band = histograms.bands(counted, normal_videos(truth))
        for name, line, (low, high) in (
            ("roc", mean.recall_at_false_alarms, band.roc),
            ("pr", mean.precision_at_recall, band.pr),
        ):
            found[name] = np.stack([curves.PLACES, line, low, high], axis=1).round(4).tolist()
    reliable = calibration.calibration(tables)
    if reliable is not None:
        there = reliable.weight > 0
        found["calibration"] = np.stack([reliable.score[there], reliable.share[there]], axis=1).tolist()
        found["error"] = reliable.error
    return found
