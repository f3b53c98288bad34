"""How sure the rows of a board are: intervals of their means, and what separates two of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.metrics import bootstrap, frame, histograms, paired, variance
from harness.metrics.frame import Floats
from harness.metrics.variance import Estimate
from harness.records import alignment
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.memory import known, remembered
from harness.report.parallel import each
from harness.tracking.tracker import TrackedRun

Artifact = Callable[[TrackedRun, str], Path]
Runs = Sequence[TrackedRun]

_CODE = (variance, paired, histograms, bootstrap, frame, alignment)
# Rounding of sums in another order.
_EXACT = 1e-9


@dataclass(frozen=True)
class Resamples:
    """The test set of a board and its runs on resamples of the test videos, each read once.

    `cache` is a directory for what was computed, None: computed anew.
    """

    truth: GroundTruth
    artifact: Artifact
    cache: Path | None = None
    _values: dict[str, dict[str, Floats]] = field(default_factory=dict, repr=False)

    def estimates(self, runs: Runs) -> dict[str, Estimate]:
        """Return the mean over `runs`, the seeds of one row, of each frame metric that is defined.

        Raises:
            UserError: predictions are missing or are not of this test set.
        """

        def compute() -> dict[str, dict[str, float]]:
            values, normal = self._of(runs), self._normal()
            found = {name: variance.mean(each, normal) for name, each in values.items()}
            return {name: asdict(estimate) for name, estimate in found.items() if estimate is not None}

        found = remembered(self.cache, _CODE, runs, compute)
        return {name: Estimate(**parts) for name, parts in found.items()}

    def difference(self, one: Runs, other: Runs, metric: str) -> Estimate | None:
        """Return the mean of `metric` over the seeds of `one` minus that over `other`'s; None where undefined.

        Raises:
            UserError: predictions are missing or are not of this test set.
        """

        def compute() -> dict[str, dict[str, float]]:
            a, b = self._of(one), self._of(other)
            same = paired.paired(*([run.result.seed for run in runs] for runs in (one, other)))
            found = {name: variance.difference(a[name], b[name], self._normal(), same) for name in a}
            return {name: asdict(estimate) for name, estimate in found.items() if estimate is not None}

        found = remembered(self.cache, _CODE, (*one, *other), compute).get(metric)
        return None if found is None else Estimate(**found)

    def prepare(self, rows: Sequence[Runs]) -> None:
        """Compute what `estimates` and `difference` of rows need and no cache has, on all cores if that is much."""
        open_rows = [runs for runs in rows if not known(self.cache, _CODE, runs)]
        paths = {}
        for run in (run for runs in open_rows for run in runs):
            with contextlib.suppress(HarnessError):  # raised where it is asked for
                paths[run.mlflow_id] = (self.artifact(run, "predictions.npz"), self.truth)
        found = each(_drawn, list(paths.values()))
        self._values.update({name: values for name, values in zip(paths, found, strict=True) if values is not None})

    def outdated(self, runs: Runs) -> bool:
        """Return whether a run recorded another frame AUC than its predictions give with the present code.

        Raises:
            UserError: predictions are missing or are not of this test set.
        """

        def compute() -> list[float | None]:
            # The first of a plan is the test set itself, and exact.
            values = self._of(runs)["frame_auc"][:, 0]
            return [float(value) if np.isfinite(value) else None for value in values]

        found = remembered(self.cache, (frame, alignment), runs, compute)
        recorded = [run.result.metrics.get("frame_auc") for run in runs]
        pairs = [(a, b) for a, b in zip(found, recorded, strict=True) if a is not None and b is not None]
        return any(abs(a - b) > _EXACT for a, b in pairs)

    def _normal(self) -> NDArray[np.bool_]:
        return normal_videos(self.truth)

    def _of(self, runs: Runs) -> dict[str, Floats]:
        """Each frame metric of the runs on a plan, `[runs, 1 + videos + resamples]`."""
        for run in runs:
            if run.mlflow_id not in self._values:
                self._values[run.mlflow_id] = _resampled(self.artifact(run, "predictions.npz"), self.truth)
        values = [self._values[run.mlflow_id] for run in runs]
        return {name: np.stack([each[name] for each in values]) for name in values[0]}


def on_plan(predictions: Predictions, truth: GroundTruth) -> dict[str, Floats]:
    """Return each frame metric of one set of predictions on the plan of every board, `[1 + videos + resamples]`.

    Raises:
        UserError: the predictions are not of this test set.
    """
    table = frame.snippet_table(predictions.of(truth.videos), truth)
    return histograms.resampled(table, bootstrap.plan(normal_videos(truth), resamples=1000, seed=0))


def normal_videos(truth: GroundTruth) -> NDArray[np.bool_]:
    """Return which of the test videos are normal, `[videos]`."""
    return np.array([not video.abnormal for video in truth.videos.values()], dtype=bool)


def _resampled(path: Path, truth: GroundTruth) -> dict[str, Floats]:
    return on_plan(Predictions.load(path), truth)


def _drawn(task: tuple[Path, GroundTruth]) -> dict[str, Floats] | None:
    """As `_resampled`, None where predictions do not fit."""
    try:
        return _resampled(*task)
    except HarnessError:
        return None
