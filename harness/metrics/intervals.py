"""Intervals of the metrics of one set of predictions: what these weights could have shown on other test videos."""

from __future__ import annotations

import numpy as np

from harness.metrics.frame import snippet_table
from harness.metrics.variance import estimates
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth


def video_intervals(predictions: Predictions, truth: GroundTruth) -> dict[str, tuple[float, float]]:
    """Return the 95% intervals over videos (low, high) of the metrics that have one, by name.

    They speak of these weights. None with fewer than two videos of a kind: how far they differ is then not known.

    Raises:
        UserError: as `evaluate`.
    """
    normal = np.array([not video.abnormal for video in truth.videos.values()], dtype=bool)
    if min(normal.sum(), (~normal).sum()) < 2:
        return {}
    found = estimates([snippet_table(predictions, truth)], normal)
    return {name: each.interval_in_odds() for name, each in found.items()}
