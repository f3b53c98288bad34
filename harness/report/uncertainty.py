"""Intervals over test videos for the rows of a board, computed once per set of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harness.files import digest, file_digest, read_json, write_json
from harness.metrics import bootstrap, frame
from harness.predictions import Predictions
from harness.track import TrackedRun
from harness.truth import GroundTruth

Artifact = Callable[[TrackedRun, str], Path]
Ranges = dict[str, tuple[float, float]]


def ranges(runs: Sequence[TrackedRun], truth: GroundTruth, artifact: Artifact, cache: Path | None) -> Ranges:
    """Return the 95% interval (low, high) of each frame metric's mean over `runs`, the seeds of one row.

    Resampling takes seconds on a large test set, so results are kept in the directory `cache`.

    Raises:
        UserError: predictions are missing or are not of this test set.
    """
    # A recorded run never changes: other content gets another MLflow id. Other code gets other intervals.
    code = [file_digest(Path(str(module.__file__))) for module in (bootstrap, frame)]
    kept = None if cache is None else cache / f"{digest(*code, *(run.mlflow_id for run in runs))[:32]}.json"
    if kept is not None and kept.is_file():
        return {name: (float(low), float(high)) for name, (low, high) in read_json(kept).items()}
    tables = [frame.snippet_table(Predictions.load(artifact(run, "predictions.npz")), truth) for run in runs]
    found = bootstrap.intervals(tables, np.array([not video.abnormal for video in truth.videos.values()]))
    if kept is not None:
        write_json(kept, found)
    return found
