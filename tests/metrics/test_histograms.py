"""Histograms against the exact metrics that they approximate."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.bootstrap import plan, resampled
from harness.metrics.frame import SnippetTable
from harness.metrics.histograms import bands, histograms
from harness.metrics.histograms import resampled as approximate

VIDEOS = 60
NORMAL = np.arange(VIDEOS) % 2 == 0


def table(seed: int, lead: float) -> SnippetTable:
    """Thirty snippets a video; abnormal videos hold an event whose scores are higher by `lead`."""
    rng = np.random.default_rng(seed)
    video = np.repeat(np.arange(VIDEOS), 30)
    inside = (np.arange(len(video)) % 30 < 10) & ~NORMAL[video]
    scores = rng.normal(size=len(video)) + lead * inside + rng.normal(size=VIDEOS)[video]
    return SnippetTable(scores, 16 * inside.astype(np.int64), 16 * (~inside).astype(np.int64), video)


@pytest.mark.parametrize("lead", [0.0, 1.0, 2.0])
def test_resamples_are_those_of_the_exact_metrics(lead: float) -> None:
    draws = plan(NORMAL, resamples=200, seed=0)
    found, exact = approximate(table(0, lead), draws), resampled(table(0, lead), draws)
    for name, tolerance in (("frame_auc", 2e-4), ("frame_ap", 5e-3)):
        assert found[name][0] == pytest.approx(exact[name][0], abs=1e-12)
        assert found[name] == pytest.approx(exact[name], abs=tolerance)
        assert found[name].std() == pytest.approx(exact[name].std(), rel=0.02)


def test_without_a_kind_of_frames_nothing_is_defined() -> None:
    only = table(0, 1.0).where(NORMAL[table(0, 1.0).video])
    found = approximate(only, plan(NORMAL, resamples=20, seed=0))
    assert all(np.isnan(values).all() for values in found.values())


def test_bands_hold_the_curve_and_narrow_with_more_videos() -> None:
    found = bands([histograms(table(0, 1.5), VIDEOS)], NORMAL, resamples=100)
    low, high = found.roc
    assert (low <= high).all()
    assert (low[-1], high[-1]) == (1, 1)
    # The area between the curves is about the interval of the AUC.
    exact = resampled(table(0, 1.5), np.ones((1, VIDEOS), dtype=np.int64))["frame_auc"][0]
    assert low.mean() < exact < high.mean()
    assert (found.pr[0] <= found.pr[1]).all()


@pytest.mark.parametrize("videos", [3, VIDEOS])
def test_blocks_and_the_order_of_sums_change_no_bit(videos: int) -> None:
    """As written down in one piece: weights times histograms, then sums over the bins."""
    rows = table(1, 0.7).where(table(1, 0.7).video < videos)
    draws = plan(NORMAL[:videos], resamples=100, seed=3)
    counted = histograms(rows, videos)
    positives, negatives = (draws @ each for each in (counted.positives, counted.negatives))
    hits, alarms = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    doubled = alarms[:, 0] * hits[:, 0] + (np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1])).sum(axis=1)
    precision = hits / np.maximum(hits + alarms, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = {
            "frame_auc": doubled / (2 * hits[:, -1] * alarms[:, -1]),
            "frame_ap": (
                (np.diff(hits, axis=1) * precision[:, 1:]).sum(axis=1) + (hits[:, :1] * precision[:, :1])[:, 0]
            )
            / hits[:, -1],
        }
    found = approximate(rows, draws)
    for name, values in expected.items():
        defined = np.where(np.isfinite(expected["frame_auc"]), values, np.nan)
        assert np.array_equal(found[name], defined - defined[0] + found[name][0], equal_nan=True)
