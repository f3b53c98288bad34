"""Events and thresholds, reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.detect.events import find_events, threshold_of
from harness.errors import UserError


def test_an_event_is_a_run_of_snippets_above_the_threshold() -> None:
    scores = np.array([0.9, 0.1, 0.6, 0.8, 0.5, 0.7], np.float32)
    edges = np.array([0, 16, 32, 48, 64, 80, 90])
    found = find_events("v", scores, edges, 0.5)
    assert [(e.start, e.end, e.peak) for e in found] == [(0, 16, 8), (32, 64, 56), (80, 90, 85)]
    assert [round(e.score, 3) for e in found] == [0.9, 0.8, 0.7]
    assert find_events("v", scores, edges, 0.95) == []


def test_the_class_of_an_event_is_never_normal() -> None:
    probabilities = np.array([[0.9, 0.06, 0.04], [0.8, 0.05, 0.15]])
    (event,) = find_events("v", np.ones(2), np.array([0, 16, 32]), 0.5, ("Normal", "Arson", "Abuse"), probabilities)
    assert (event.label, event.probability) == ("Abuse", pytest.approx(0.095))


@pytest.mark.parametrize(
    ("value", "rate", "fps", "said"),
    [
        (0.5, 1.0, 25.0, "not both"),
        (float("nan"), None, 25.0, "--threshold nan: expected a number"),
        (None, -1.0, 25.0, "--false-alarms-per-hour -1: expected 0 or more"),
        (None, 1.0, 25.0, "needs the directory of the run"),
    ],
)
def test_wrong_thresholds(value: float | None, rate: float | None, fps: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        threshold_of(value, rate, None, fps)
