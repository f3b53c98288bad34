"""Delay and share of events found early, on a test set that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.early import early, threshold
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth

TRUTH = GroundTruth(
    "hand",
    ("Normal", "Fire"),
    Alignment(kind="stride", stride=16),
    {
        "quiet": VideoTruth(160, (0,)),
        "soon": VideoTruth(160, (1,), (Event(32, 112, 1),)),
        "late": VideoTruth(160, (1,), (Event(32, 112, 1),)),
        "never": VideoTruth(160, (1,), (Event(32, 112, 1),)),
    },
)


def predictions(**scores: list[float]) -> Predictions:
    values = np.array([scores[name] for name in TRUTH.videos], dtype=np.float32).ravel()
    offsets = np.arange(5, dtype=np.int64) * 10
    return Predictions(tuple(TRUTH.videos), offsets, values, TRUTH.alignment, TRUTH.classes)


def test_an_event_is_found_at_the_end_of_its_first_snippet_above_the_threshold() -> None:
    found = early(
        predictions(
            quiet=[0.1] * 10,
            soon=[0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            late=[0, 1, 0, 0, 0, 0, 1, 0, 0, 0],
            never=[1, 1, 0, 0, 0, 0, 0, 1, 1, 1],
        ),
        TRUTH,
        fps=16,
    )
    # 2 of 5 snippets, all 5, and not at all, which counts as 5; the middle of them in seconds of one snippet each.
    assert found == {
        "early_found": pytest.approx(2 / 3),
        "early_before_half": pytest.approx(1 / 3),
        "early_delay_seconds": 5.0,
    }


def test_seconds_need_frames_per_second() -> None:
    scores = {name: [0.5] * 10 for name in TRUTH.videos}
    assert set(early(predictions(**scores), TRUTH, fps=0)) == {"early_found", "early_before_half"}
    assert early(predictions(**scores), TRUTH, fps=0)["early_found"] == 0  # what ties with normal video is no alarm


def test_without_normal_videos_there_is_no_threshold() -> None:
    truth = TRUTH.where(lambda video: video.abnormal)
    given = predictions(**{name: [0.5] * 10 for name in TRUTH.videos}).of(truth.videos)
    assert early(given, truth, fps=25) == {}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.9), (0.05, 0.9), (0.1, 0.8), (0.3, 0.6), (0.4, 0.5)])
def test_the_threshold_is_the_lowest_with_so_many_false_alarms(share: float, expected: float) -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.6, 0.5, 0.1, 0.1, 0.1, 0.1, 0.0])
    assert threshold(scores, np.full(10, 16), share) == expected
