"""Every metric on resampled test videos is that of the resampled test set, and says so where it has no interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.metrics.bootstrap import plan, trapezoid
from harness.metrics.bootstrap import resampled as exactly
from harness.metrics.frame import snippet_table
from harness.metrics.histograms import resampled as by_histograms
from harness.metrics.intervals import uncertainty
from harness.metrics.protocol import evaluate
from harness.metrics.segment_resampling import resampled_maps
from harness.metrics.variance import Estimate
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from tests.fakes import fake_predictions, fake_truth

TRUTH = fake_truth("toy")
PREDICTIONS = fake_predictions(TRUTH, 0, classify=True)
NORMAL = np.array([not video.abnormal for video in TRUTH.videos.values()])


def drawn(draw: np.ndarray, predictions: Predictions = PREDICTIONS) -> tuple[Predictions, GroundTruth]:
    """The test set in which each video stands as often as it was drawn."""
    videos, rows, offsets = {}, [np.zeros(0, dtype=int)], [0]
    for index, (name, count) in enumerate(zip(TRUTH.videos, draw, strict=True)):
        own = predictions.rows(index)
        for copy in range(count):
            videos[f"{name}-{copy}"] = TRUTH.videos[name]
            rows.append(np.arange(own.start, own.stop))
            offsets.append(offsets[-1] + own.stop - own.start)
    which = np.concatenate(rows)
    assert predictions.class_probs is not None
    changes = {"scores": predictions.scores[which], "class_probs": predictions.class_probs[which]}
    again = replace(predictions, videos=tuple(videos), offsets=np.array(offsets), **changes)  # type: ignore[arg-type]
    return again, replace(TRUTH, videos=videos)


@pytest.mark.parametrize("variant", ["ucf", "xd"])
def test_map_and_trapezoid_are_those_of_the_resampled_test_set(variant: str) -> None:
    truth = replace(TRUTH, map_variant=variant)  # type: ignore[arg-type]
    draws = plan(NORMAL, resamples=40, seed=1)
    maps, areas = resampled_maps(PREDICTIONS, truth, draws), trapezoid(snippet_table(PREDICTIONS, TRUTH), draws)
    assert maps["map@0.1"][0] != maps["map_strict@0.1"][0] > 0
    for row, draw in enumerate(draws):
        predictions, own = drawn(draw)
        metrics = evaluate(predictions, replace(own, map_variant=variant)).metrics  # type: ignore[arg-type]
        assert areas[row] == pytest.approx(metrics["frame_pr_auc_trapezoid"], abs=1e-12)
        for name, values in maps.items():
            assert values[row] == pytest.approx(metrics[name], abs=1e-12), (name, draw)


def test_resamples_without_an_event_leave_map_undefined() -> None:
    draws = np.vstack([np.ones(len(NORMAL), dtype=np.int64), NORMAL.astype(np.int64)])
    maps = resampled_maps(PREDICTIONS, TRUTH, draws)
    assert all(np.isfinite(values[0]) and np.isnan(values[1]) for values in maps.values())


def test_every_metric_has_an_interval_around_its_value() -> None:
    known, found = uncertainty(PREDICTIONS, TRUTH), evaluate(PREDICTIONS, TRUTH)
    assert known.metrics.keys() == found.metrics.keys()
    assert known.class_auc.keys() == found.class_auc.keys()
    for values, estimates in ((found.metrics, known.metrics), (found.class_auc, known.class_auc)):
        for name, estimate in estimates.items():
            assert isinstance(estimate, Estimate), name
            assert estimate.value == pytest.approx(values[name], abs=1e-12)
            low, high = estimate.interval_in_odds()
            assert 0 <= low < values[name] < high <= 1


def test_deviations_are_those_of_metrics_on_resampled_test_sets() -> None:
    known = uncertainty(PREDICTIONS, TRUTH, resamples=200).metrics
    again = [evaluate(*drawn(draw)).metrics for draw in plan(NORMAL, 200, seed=0)[1 + len(NORMAL) :]]
    for name in ("video_auc", "map_avg", "frame_ap"):
        estimate, values = known[name], [each[name] for each in again]
        assert isinstance(estimate, Estimate)
        # Resampled with replacement, n videos of a kind vary as n - 1 would.
        assert estimate.deviation == pytest.approx(np.std(values) * np.sqrt(12 / 10), abs=1e-12), name
    # What looks at one kind of videos is resampled among these alone.
    for name, kind, many in (("macro_auc", False, 8), ("abnormal_ap", False, 8), ("false_alarm_rate", True, 4)):
        own = np.flatnonzero(kind == NORMAL)
        draws = np.zeros((200, len(NORMAL)), dtype=np.int64)
        draws[:, own] = plan(NORMAL[own], 200, seed=0)[1 + many :]
        draws[:, np.flatnonzero(kind != NORMAL)] = 1
        estimate, values = known[name], [evaluate(*drawn(draw)).metrics[name] for draw in draws]
        assert isinstance(estimate, Estimate)
        assert estimate.deviation == pytest.approx(np.std(values) * np.sqrt(many / (many - 1)), abs=1e-12), name


def test_histograms_come_near() -> None:
    exact, near = (uncertainty(PREDICTIONS, TRUTH, resample=each).metrics for each in (exactly, by_histograms))
    for name in ("frame_auc", "abnormal_ap", "video_auc"):
        ends = [each[name].interval_in_odds() for each in (exact, near)]  # type: ignore[union-attr]
        assert ends[0] == pytest.approx(ends[1], abs=0.005)


def test_what_has_no_interval_says_why() -> None:
    two = replace(TRUTH, videos=dict(list(TRUTH.videos.items())[:3]))  # one normal video, two abnormal ones
    known = uncertainty(PREDICTIONS.of(two.videos), two)
    few = "fewer than two normal videos: how far they differ is not known"
    assert {known.metrics[name] for name in ("frame_auc", "video_auc", "false_alarm_rate", "map_avg")} == {few}
    assert isinstance(known.metrics["macro_auc"], Estimate)
    assert known.class_auc["Fight"] == "fewer than two abnormal and normal videos: how far they differ is not known"
    flat = replace(PREDICTIONS, scores=np.full_like(PREDICTIONS.scores, 0.5))
    assert uncertainty(flat, TRUTH).metrics["frame_auc"] == (
        "the same on every resample, which says nothing of other videos"
    )
    normal = TRUTH.where(lambda video: video.normal)
    assert set(uncertainty(PREDICTIONS.of(normal.videos), normal).metrics) == {"false_alarm_rate"}
