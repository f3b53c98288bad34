"""Calibration: how often a frame with a given score lies inside an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.frame import Floats, SnippetTable

BINS = 10


@dataclass(frozen=True, eq=False)
class Calibration:
    """By bin `[BINS]` of the score: mean `score`, `share` of frames inside an event, `weight` (share of all frames).

    `score` and `share` are NaN in empty bins. `error` is the expected calibration error: the mean of |score - share|
    over frames.
    """

    score: Floats
    share: Floats
    weight: Floats
    error: float


def calibration(tables: Sequence[SnippetTable]) -> Calibration | None:
    """Return the calibration over the pooled frames of all tables (one per seed); None if a score leaves [0, 1]."""
    scores = np.concatenate([table.scores for table in tables])
    if not len(scores) or scores.min() < 0 or scores.max() > 1:
        return None
    inside = np.concatenate([table.positives for table in tables]).astype(np.float64)
    frames = inside + np.concatenate([table.negatives for table in tables])
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    weight, hits, total = (np.bincount(place, values, BINS) for values in (frames, inside, frames * scores))
    with np.errstate(invalid="ignore"):
        score, share = total / weight, hits / weight
    everything = max(float(weight.sum()), 1.0)
    return Calibration(score, share, weight / everything, float(np.nansum(weight * np.abs(score - share)) / everything))
