"""The pictures of a board: ROC, precision-recall, calibration, metric by epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.metrics import calibration, curves, frame, histograms
from harness.records import alignment
from harness.records.history import read_history
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Board, Row
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.memory import known, remembered
from harness.report.parallel import each
from harness.report.site.plots import Axis, Plot, Points, Series

_UNIT = (0.0, 1.0)
_CODE = (curves, histograms, calibration, frame, alignment)


def score_plots(
    board: Board, names: Sequence[str], truth: GroundTruth, artifact: Artifact, cache: Path | None
) -> list[Plot]:
    """Return the ROC, precision-recall and calibration pictures of the rows whose predictions are there.

    Raises:
        UserError: predictions are not of this test set.
    """
    roc, pr, reliable = [], [], []
    early = _early(board, truth, artifact, cache)
    for key, (row, name) in enumerate(zip(board.rows, names, strict=True)):
        found = _curves(row, truth, artifact, cache, early.get(key))
        if found.get("roc"):
            roc.append(_banded(key, name, found["roc"]))
            pr.append(_banded(key, name, found["pr"]))
        if found.get("calibration"):
            reliable.append(Series(f"{name}, error {found['error']:.3f}", _points(found["calibration"]), key))
    seeds = "Mean over seeds; the band holds 95% of 200 resamples of the test videos, at each place by itself."
    plots = []
    if roc:
        chance = Series("chance", ((0, 0), (1, 1)))
        share = sum(int(video.mask().sum()) for video in truth.videos.values()) / max(truth.frames, 1)
        base = Series("share of frames inside events", ((0, share), (1, share)))
        false, true = Axis("false positive rate", *_UNIT), Axis("true positive rate", *_UNIT)
        plots.append(Plot("ROC", f"Over all test frames. {seeds}", false, true, (chance, *roc)))
        recall, precision = Axis("recall", *_UNIT), Axis("precision", *_UNIT)
        plots.append(Plot("Precision and recall", f"Over all test frames. {seeds}", recall, precision, (base, *pr)))
    if reliable:
        note = (
            "How many of the frames with a given score lie inside an event, in ten bins of the score, frames of all "
            "seeds together. On the diagonal a score is a probability; the expected calibration error stands beside "
            "the name. Methods whose scores leave 0 to 1 are not shown."
        )
        ideal = Series("calibrated", ((0, 0), (1, 1)))
        score, share_axis = Axis("score", *_UNIT), Axis("share of frames inside events", *_UNIT)
        plots.append(Plot("Calibration", note, score, share_axis, (ideal, *reliable)))
    return plots


def _curves(
    row: Row, truth: GroundTruth, artifact: Artifact, cache: Path | None, early: dict[str, Any] | None
) -> dict[str, Any]:
    """(x, mean, low, high) of both curves, and (score, share) of the calibration; empty without predictions."""

    def compute() -> dict[str, Any]:
        return _computed((_paths(row, artifact), truth)) if early is None else early

    try:
        found = remembered(cache, _CODE, row.members, compute)
    except HarnessError:
        return {}
    return dict(found)


def _early(board: Board, truth: GroundTruth, artifact: Artifact, cache: Path | None) -> dict[int, dict[str, Any]]:
    """What `_curves` computes of the rows that no cache has, on all cores if they are many."""
    tasks = {}
    for key, row in enumerate(board.rows):
        if not known(cache, _CODE, row.members):
            with contextlib.suppress(HarnessError):
                tasks[key] = (_paths(row, artifact), truth)
    found = each(_without_errors, list(tasks.values()))
    return {key: values for key, values in zip(tasks, found, strict=True) if values is not None}


def _paths(row: Row, artifact: Artifact) -> tuple[Path, ...]:
    return tuple(artifact(run, "predictions.npz") for run in row.members)


def _without_errors(task: tuple[tuple[Path, ...], GroundTruth]) -> dict[str, Any] | None:
    try:
        return _computed(task)
    except HarnessError:
        return None


def _computed(task: tuple[tuple[Path, ...], GroundTruth]) -> dict[str, Any]:
    paths, truth = task
    tables = [frame.snippet_table(Predictions.load(path).of(truth.videos), truth) for path in paths]
    mean = curves.curves(tables)
    found: dict[str, Any] = {}
    if mean is not None:
        normal = np.array([not video.abnormal for video in truth.videos.values()])
        band = histograms.bands([histograms.histograms(table, len(truth.videos)) for table in tables], normal)
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


def _banded(key: int, name: str, values: Sequence[Sequence[float]]) -> Series:
    line = tuple((x, mean) for x, mean, *_ in values)
    return Series(name, line, key, tuple((x, low, high) for x, _, low, high in values))


def _points(values: Sequence[Sequence[float]]) -> Points:
    return tuple((x, y) for x, y in values)


def looks_plot(board: Board, names: Sequence[str], artifact: Artifact) -> Plot | None:
    """Return the criterion of the selection rules by epoch, with the chosen points; None if no row looked."""
    series = []
    for key, (row, name) in enumerate(zip(board.rows, names, strict=True)):
        for run in row.members:
            looks = history(run, artifact).get("looks", [])
            if looks and run.result.selected is not None:
                series.append(_looked(f"{name}, seed {run.result.seed}", key, looks, run.result.selected.step))
    if not series:
        return None
    note = (
        "What each rule looked at during training, one line per seed: oracle and paper at the test set, val at "
        "videos held out of training. The dot is the look that was chosen."
    )
    values = [y for each in series for _, y in each.points]
    last = max(x for each in series for x, _ in each.points)
    return Plot(
        "Metric by epoch", note, Axis("epoch", 0, last), Axis.around("criterion in percent", values), tuple(series)
    )


def training_plots(runs: Sequence[tuple[str, Any]], artifact: Artifact) -> list[Plot]:
    """Return the training loss and the looks by epoch of a few named runs (one per seed), as far as there are any."""
    losses, looked = [], []
    for key, (name, run) in enumerate(runs):
        kept = history(run, artifact)
        points = tuple(
            (float(e["epoch"]), float(e["loss"])) for e in kept.get("epochs", []) if e.get("loss") is not None
        )
        if points and all(np.isfinite(y) for _, y in points):
            losses.append(Series(name, points, key))
        if kept.get("looks") and run.result.selected is not None:
            looked.append(_looked(name, key, kept["looks"], run.result.selected.step))
    plots = []
    for title, axis, note, series in (
        ("Training loss", "loss", "Mean over the steps of an epoch.", losses),
        ("Metric by epoch", "criterion in percent", "What the selection rule looked at; the dot was chosen.", looked),
    ):
        if series:
            last = max(x for each in series for x, _ in each.points)
            values = Axis.around(axis, [y for each in series for _, y in each.points])
            plots.append(Plot(title, note, Axis("epoch", 0, max(last, 1)), values, tuple(series)))
    return plots


def _looked(name: str, key: int, looks: Sequence[dict[str, Any]], step: int) -> Series:
    points = tuple((float(look["epoch"]), 100 * float(look["value"])) for look in looks)
    chosen = [point for point, look in zip(points, looks, strict=True) if look["step"] == step]
    return Series(name, points, key, marks=tuple((x, y, f"{name}: chosen") for x, y in chosen[:1]))


def history(run: Any, artifact: Artifact) -> dict[str, Any]:
    """Return the epochs and looks of a run; empty where it kept none."""
    try:
        return read_history(artifact(run, "history.json")).model_dump()
    except HarnessError:
        return {}
