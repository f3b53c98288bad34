"""Alarms at a threshold, against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.metrics.alarms import alarms, threshold_at_rate
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth

FPS = 25.0
TRUTH = GroundTruth(
    "d",
    ("Normal", "Fire"),
    Alignment(kind="stride"),
    {
        "a": VideoTruth(100, (1,), (Event(20, 60, 1),)),
        "n": VideoTruth(90, (0,)),
        "m": VideoTruth(33, (0,)),
        "b": VideoTruth(64, (1,), (Event(0, 10, 1), Event(40, 64, 1))),
    },
)
COUNTS = (7, 6, 3, 4)


def _predictions(scores: list[float]) -> Predictions:
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    return Predictions(tuple(TRUTH.videos), offsets, np.array(scores, np.float32), TRUTH.alignment, TRUTH.classes)


def _false_alarms(predictions: Predictions, threshold: float) -> int:
    count = 0
    for index, video in enumerate(TRUTH.videos.values()):
        previous = False
        for score in predictions.scores[predictions.rows(index)] if not video.abnormal else []:
            count += score > threshold and not previous
            previous = score > threshold
    return count


def test_by_hand() -> None:
    a, n, m, b = [0, 0, 0.9, 0.9, 0, 0, 0.8], [0.7, 0, 0.7, 0.7, 0, 0], [0, 0, 0.6], [0, 0, 0, 0.9]
    found = alarms(_predictions([*a, *n, *m, *b]), TRUTH, 0.5, FPS)
    hours = 123 / FPS / 3600
    assert found.per_hour == pytest.approx(3 / hours)
    assert found.events == 3
    assert found.detected == pytest.approx(2 / 3)
    # Event [20, 60) is first met at frame 32, event [40, 64) at frame 48, event [0, 10) never.
    assert found.delay == pytest.approx((12 + 8) / 2 / FPS)
    # [32, 64) against [20, 60): 28 / 44; [48, 64) against [40, 64): 16 / 24.
    assert found.recall == pytest.approx(2 / 3)
    assert alarms(_predictions([*a, *n, *m, *b]), TRUTH, 0.5, FPS, iou=0.65).recall == pytest.approx(1 / 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=20, max_size=20), st.integers(0, 8))
def test_threshold_is_the_lowest_that_keeps_the_rate(levels: list[int], limit: int) -> None:
    predictions = _predictions([level / 5 for level in levels])
    hours = 123 / FPS / 3600
    found = threshold_at_rate(predictions, TRUTH, (limit + 0.5) / hours, FPS)
    grid = sorted({level / 5 for level in levels} | {found})
    above = [t for t in grid if np.float32(t) >= np.float32(found)]
    assert all(_false_alarms(predictions, np.float32(t)) <= limit for t in above)
    assert alarms(predictions, TRUTH, found, FPS).per_hour == pytest.approx(_false_alarms(predictions, found) / hours)
    normal = sorted(set(predictions.scores[7:16].tolist()))
    lower = [t for t in normal if t < found]
    assert not lower or _false_alarms(predictions, lower[-1]) > limit


def test_frame_rate_must_be_positive() -> None:
    with pytest.raises(UserError, match="fps 0"):
        alarms(_predictions([0.0] * 20), TRUTH, 0.5, 0.0)
