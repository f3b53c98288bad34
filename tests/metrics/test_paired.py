"""Paired comparison: exactness on small cases."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.frame import Floats, SnippetTable, roc_auc
from harness.metrics.paired import Difference, deciding_videos, differences, holm, influences

VIDEOS, SNIPPETS = 40, 12
VIDEO = np.repeat(np.arange(VIDEOS), SNIPPETS)
NORMAL = np.arange(VIDEOS) % 2 == 0
POSITIVES = np.where(~NORMAL[VIDEO] & (np.tile(np.arange(SNIPPETS), VIDEOS) < 4), 16, 0)


def table(scores: Floats) -> SnippetTable:
    return SnippetTable(scores.astype(np.float64), POSITIVES, 16 - POSITIVES, VIDEO)


def compared(a: list[SnippetTable], b: list[SnippetTable], **settings: int) -> dict[str, Difference]:
    return differences({"a": a, "b": b}, NORMAL, **settings)["a", "b"]


def noisy(rng: np.random.Generator, signal: float) -> SnippetTable:
    by_video = rng.standard_normal(VIDEOS)[VIDEO]
    return table(signal * (POSITIVES > 0) + by_video + 0.5 * rng.standard_normal(len(VIDEO)))


def test_difference_is_that_of_the_metrics_and_changes_sign_with_the_order() -> None:
    rng = np.random.default_rng(0)
    a, b = noisy(rng, 2.0), noisy(rng, 0.5)
    found, turned = compared([a], [b])["frame_auc"], compared([b], [a])["frame_auc"]
    aucs = [roc_auc(t.scores, t.positives, t.negatives) for t in (a, b)]
    assert found.value == pytest.approx(aucs[0] - aucs[1], abs=1e-12)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low), abs=1e-12)
    assert turned.p_value == found.p_value
    assert turned.ahead == pytest.approx(1 - found.ahead)


def test_clear_lead_is_seen_whatever_the_scale_of_the_scores() -> None:
    rng = np.random.default_rng(1)
    a, b = noisy(rng, 3.0), noisy(rng, 0.0)
    plain = compared([a], [b])
    scaled = compared([table(1e-6 * np.exp(a.scores))], [table(5 + b.scores)])
    for name in ("frame_auc", "frame_ap"):
        assert plain[name].low > 0
        assert plain[name].p_value <= 0.002
        assert plain[name].ahead > 0.99
        assert scaled[name] == plain[name]


def test_equal_methods_show_no_difference() -> None:
    a = noisy(np.random.default_rng(2), 1.0)
    found = compared([a], [a])["frame_auc"]
    assert (found.value, found.low, found.high, found.p_value, found.ahead) == (0, 0, 0, 1, 0.5)


def test_several_seeds_are_averaged() -> None:
    rng = np.random.default_rng(4)
    a, b = [noisy(rng, 1.0) for _ in range(3)], [noisy(rng, 1.0) for _ in range(3)]
    found = compared(a, b)["frame_auc"].value
    alone = [compared([x], [y])["frame_auc"].value for x, y in zip(a, b, strict=True)]
    assert found == pytest.approx(np.mean(alone), abs=1e-12)


def test_one_video_can_decide_the_gap() -> None:
    scores = np.where(POSITIVES > 0, 0.9, 0.1)
    worse = scores.copy()
    worse[VIDEO == 3] = 1 - worse[VIDEO == 3]
    which = deciding_videos([table(scores)], [table(worse)], VIDEOS)
    assert which is not None
    assert which.tolist() == [3]
    assert deciding_videos([table(scores)], [table(scores)], VIDEOS) is None
    added = influences([table(scores)], [table(worse)], VIDEOS)
    assert added.argmax() == 3
    assert added[3] > 10 * np.abs(np.delete(added, 3)).max()
    better, poor = noisy(np.random.default_rng(5), 6.0), noisy(np.random.default_rng(6), 0.0)
    many = deciding_videos([better], [poor], VIDEOS)
    assert many is None or len(many) > 5


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == []
