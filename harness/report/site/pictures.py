"""The pictures of a board: ROC, precision-recall, calibration, metric by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.records import history
from harness.records.history import read_history
from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Board
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.memory import remembered
from harness.report.site.plots import Axis, Plot, Points, Series
from harness.tracking.tracker import TrackedRun

_UNIT = (0.0, 1.0)


def score_plots(names: Sequence[str], rows: Sequence[Mapping[str, Any]], truth: GroundTruth) -> list[Plot]:
    """Return the ROC, precision-recall and calibration pictures of the rows whose predictions are there.

    `rows` are what `row_pictures` returned of the rows that the page calls `names`.
    """
    roc, pr, reliable = [], [], []
    for key, (row, name) in enumerate(zip(rows, names, strict=True)):
        found = row.get("curves", {})
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


def looks_plot(board: Board, names: Sequence[str], artifact: Artifact, cache: Path | None) -> Plot | None:
    """Return the criterion of the selection rules by epoch, with the chosen points; None if no row looked."""
    series = []
    for key, (row, name) in enumerate(zip(board.rows, names, strict=True)):
        for run, kept in zip(row.members, _histories(row.members, artifact, cache), strict=True):
            if kept["looks"] and run.result.selected is not None:
                seed = f"{name}, seed {run.result.seed}"
                series.append(_looked(seed, key, kept["looks"], run.result.selected.step))
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


def training_plots(runs: Sequence[TrackedRun], artifact: Artifact, cache: Path | None) -> list[Plot]:
    """Return the training loss and the looks by epoch of a few runs, one per seed, as far as there are any."""
    losses, looked = [], []
    for key, (run, kept) in enumerate(zip(runs, _histories(runs, artifact, cache), strict=True)):
        name = f"seed {run.result.seed}"
        points = tuple((x, y) for x, y in kept["losses"])
        if points and all(np.isfinite(y) for _, y in points):
            losses.append(Series(name, points, key))
        if kept["looks"] and run.result.selected is not None:
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


def _looked(name: str, key: int, looks: Sequence[Sequence[float]], step: int) -> Series:
    points = tuple((epoch, 100 * value) for epoch, _, value in looks)
    chosen = [point for point, look in zip(points, looks, strict=True) if look[1] == step]
    return Series(name, points, key, marks=tuple((x, y, f"{name}: chosen") for x, y in chosen[:1]))


def _histories(runs: Sequence[TrackedRun], artifact: Artifact, cache: Path | None) -> list[dict[str, Any]]:
    """Of each run the `losses` (epoch, loss) and the `looks` (epoch, step, value); empty where it kept none."""

    def compute() -> list[dict[str, Any]]:
        return [_drawn(read_history(artifact(run, "history.json"))) for run in runs]

    try:
        return list(remembered(cache, (history,), runs, compute))
    except HarnessError:
        return [_alone(run, artifact) for run in runs]


def _alone(run: TrackedRun, artifact: Artifact) -> dict[str, Any]:
    try:
        return _drawn(read_history(artifact(run, "history.json")))
    except HarnessError:
        return _drawn(history.History())


def _drawn(kept: history.History) -> dict[str, Any]:
    return {
        "losses": [(float(epoch.epoch), float(epoch.loss)) for epoch in kept.epochs if epoch.loss is not None],
        "looks": [(float(look.epoch), look.step, float(look.value)) for look in kept.looks],
    }


def _banded(key: int, name: str, values: Sequence[Sequence[float]]) -> Series:
    line = tuple((x, mean) for x, mean, *_ in values)
    return Series(name, line, key, tuple((x, low, high) for x, _, low, high in values))


def _points(values: Sequence[Sequence[float]]) -> Points:
    return tuple((x, y) for x, y in values)
