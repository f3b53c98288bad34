"""Histograms against the exact metrics that they approximate."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.bootstrap import resampled
from harness.metrics.frame import SnippetTable
from harness.metrics.histograms import bands, exchange_p_values, histograms
from harness.metrics.paired import differences

VIDEOS = 60
NORMAL = np.arange(VIDEOS) % 2 == 0


def table(seed: int, lead: float) -> SnippetTable:
    """Thirty snippets a video; abnormal videos hold an event whose scores are higher by `lead`."""
    rng = np.random.default_rng(seed)
    video = np.repeat(np.arange(VIDEOS), 30)
    inside = (np.arange(len(video)) % 30 < 10) & ~NORMAL[video]
    scores = rng.normal(size=len(video)) + lead * inside + rng.normal(size=VIDEOS)[video]
    return SnippetTable(scores, 16 * inside.astype(np.int64), 16 * (~inside).astype(np.int64), video)


@pytest.mark.parametrize("lead", [1.0, 1.2, 2.0])
def test_p_values_are_those_of_the_paired_differences(lead: float) -> None:
    a, b = [table(seed, lead) for seed in (0, 1)], [table(seed, 1.0) for seed in (2, 3)]
    exact = differences({"a": a, "b": b}, NORMAL, resamples=20)["a", "b"]
    found = exchange_p_values([histograms(t, VIDEOS) for t in a], [histograms(t, VIDEOS) for t in b])
    for name in ("frame_auc", "frame_ap"):
        assert found[name] == pytest.approx(exact[name].p_value, abs=0.01)


def test_without_a_kind_of_frames_there_is_no_p_value() -> None:
    only = table(0, 1.0).where(NORMAL[table(0, 1.0).video])
    counted = [histograms(only, VIDEOS)]
    assert exchange_p_values(counted, counted) == {}


def test_bands_hold_the_curve_and_narrow_with_more_videos() -> None:
    found = bands([histograms(table(0, 1.5), VIDEOS)], NORMAL, resamples=100)
    low, high = found.roc
    assert (low <= high).all()
    assert (low[-1], high[-1]) == (1, 1)
    # The area between the curves is about the interval of the AUC.
    exact = resampled(table(0, 1.5), np.ones((1, VIDEOS), dtype=np.int64))["frame_auc"][0]
    assert low.mean() < exact < high.mean()
    assert (found.pr[0] <= found.pr[1]).all()
