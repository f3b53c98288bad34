"""Frame metrics of evaluation cases, computed as the official test scripts do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

SNIPPET = 16


def frame_outputs(parts: Sequence[NDArray[Any]], intervals: Iterable[tuple[int, int, int]]) -> dict[str, Any]:
    """Return `scores`, `auc`, `ap` (trapezoid) and `frame_checksum` of snippet scores `[T]` per video.

    `intervals` are positive frames [start, end) as (video, start, end).
    """
    starts = np.cumsum([0, *(len(part) for part in parts)]) * SNIPPET
    truth = np.zeros(starts[-1], dtype=np.int64)
    for video, start, end in intervals:
        truth[starts[video] + start : min(starts[video] + end, starts[video + 1])] = 1
    scores = np.concatenate(parts)
    frames: NDArray[np.float64] = np.repeat(scores.astype(np.float64), SNIPPET)
    precision, recall, _ = precision_recall_curve(truth, frames)
    return {
        "auc": roc_auc_score(truth, frames),
        "ap": auc(recall, precision),
        "scores": scores,
        "frame_checksum": np.array([frames.sum(), len(frames), truth.sum()]),
    }
