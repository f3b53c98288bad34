"""What the page of a run shows beside its numbers: its curves, and an interval for each metric, computed once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.metrics import (
    bootstrap,
    concordance,
    curves,
    frame,
    histograms,
    intervals,
    segment_resampling,
    segments,
    variance,
)
from harness.records import alignment
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.truth import GroundTruth
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.memory import known, remembered
from harness.report.parallel import begun
from harness.report.site import run_scores, thinned
from harness.tracking.tracker import TrackedRun

RESAMPLES = 200
_CODE = (
    *(bootstrap, concordance, curves, frame, histograms, intervals, segment_resampling, segments, variance),
    *(alignment, run_scores, thinned),
)
_SAME = 1e-6


@dataclass(frozen=True)
class RunStatistics:
    """Of one run: 95% intervals over videos (low, high) by metric and by class, and the two curves at fixed places.

    `scores` are those that its page draws over time, see `run_scores`; None where the run has none.
    """

    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    class_auc: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    roc: tuple[float, ...] = ()
    pr: tuple[float, ...] = ()
    scores: Mapping[str, Any] | None = None


def run_statistics(
    runs: Sequence[TrackedRun], truth: GroundTruth, artifact: Artifact, cache: Path | None
) -> Callable[[], dict[str, RunStatistics]]:
    """Begin the statistics of runs, and return what gives them by run id; runs without predictions have none.

    What no cache has is computed on all cores if that is much.
    """
    tasks = {}
    for run in runs:
        if not known(cache, _CODE, [run]):
            with contextlib.suppress(HarnessError):
                tasks[run.mlflow_id] = (artifact(run, "predictions.npz"), truth)
    coming = begun(_without_errors, list(tasks.values()))

    def statistics() -> dict[str, RunStatistics]:
        early = dict(zip(tasks, coming(), strict=True))
        found = {}
        for run in runs:

            def compute(run: TrackedRun = run) -> dict[str, Any]:
                done = early.get(run.mlflow_id)
                return _computed((artifact(run, "predictions.npz"), truth)) if done is None else done

            with contextlib.suppress(HarnessError):
                found[run.result.id] = _of(run.result, remembered(cache, _CODE, [run], compute))
        return found

    return statistics


def _of(result: RunResult, parts: Mapping[str, Any]) -> RunStatistics:
    def fitting(values: Mapping[str, float], kept: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
        # What the run recorded may be another number: mAP over classes that two data sets share, or an old version's.
        return {
            name: (low, high)
            for name, (value, low, high) in kept.items()
            if name in values and abs(values[name] - value) < _SAME
        }

    return RunStatistics(
        fitting(result.metrics, parts["metrics"]),
        fitting(result.class_auc, parts["class_auc"]),
        tuple(parts["roc"]),
        tuple(parts["pr"]),
        parts["scores"],
    )


def _without_errors(task: tuple[Path, GroundTruth]) -> dict[str, Any] | None:
    try:
        return _computed(task)
    except HarnessError:
        return None


def _computed(task: tuple[Path, GroundTruth]) -> dict[str, Any]:
    path, truth = task
    predictions = Predictions.load(path)
    found = {"metrics": {}, "class_auc": {}, "roc": [], "pr": [], "scores": run_scores.run_scores(predictions, truth)}
    with contextlib.suppress(HarnessError):  # the board's cautions say that predictions do not fit
        found |= _resampled(predictions.of(truth.videos), truth)
    return found


def _resampled(predictions: Predictions, truth: GroundTruth) -> dict[str, Any]:
    curve = curves.curves([frame.snippet_table(predictions, truth)])
    sure = intervals.uncertainty(predictions, truth, RESAMPLES, histograms.resampled)
    return {
        "metrics": _ends(sure.metrics),
        "class_auc": _ends(sure.class_auc),
        "roc": [] if curve is None else curve.recall_at_false_alarms.round(3).tolist(),
        "pr": [] if curve is None else curve.precision_at_recall.round(3).tolist(),
    }


def _ends(found: intervals.Found) -> dict[str, list[float]]:
    return {
        name: [estimate.value, *(round(end, 10) for end in estimate.interval_in_odds())]
        for name, estimate in found.items()
        if not isinstance(estimate, str)
    }
