"""Comparing predictions of one test set."""

from __future__ import annotations

import numpy as np
import pytest

from harness.alignment import Alignment
from harness.compare import Contestant, compare
from harness.errors import UserError
from harness.predictions import Predictions
from harness.truth import Event, GroundTruth, VideoTruth

SNIPPETS = 10
ALIGNMENT = Alignment(kind="stride")
CLASSES = ("Normal", "Fire", "Fight")
TRUTH = GroundTruth(
    "d",
    CLASSES,
    ALIGNMENT,
    {f"v{i:02d}": VideoTruth(160, (i % 3,), (Event(32, 80, i % 3),) if i % 3 else ()) for i in range(30)},
)


def _contestant(name: str, signal: float, seeds: int = 1, broken: int | None = None) -> Contestant:
    events = np.concatenate([video.mask()[::16] for video in TRUTH.videos.values()])
    sets = []
    for seed in range(seeds):
        scores = signal * events + np.random.default_rng([len(name), seed]).random(events.size)
        if broken is not None:
            rows = slice(broken * SNIPPETS, (broken + 1) * SNIPPETS)
            scores[rows] = -scores[rows]
        offsets = np.arange(31) * SNIPPETS
        sets.append(Predictions(tuple(TRUTH.videos), offsets, scores.astype(np.float32), ALIGNMENT, CLASSES))
    return Contestant(name, tuple(sets))


def test_every_pair_and_metric_gets_a_verdict() -> None:
    found = compare([_contestant("good", 2.0), _contestant("poor", 0.0, seeds=2), _contestant("fair", 1.0)], TRUTH)
    document = found.as_json()
    assert [(p["a"], p["b"]) for p in document["pairs"][::4]] == [("good", "poor"), ("good", "fair"), ("poor", "fair")]
    first = {p["metric"]: p for p in document["pairs"] if (p["a"], p["b"]) == ("good", "poor")}
    assert set(first) == {"frame_auc", "frame_ap", "abnormal_auc", "abnormal_ap"}
    assert first["frame_auc"]["verdict"] == "good ahead"
    assert first["frame_auc"]["interval"][0] > 0
    assert first["frame_auc"]["p_value"] == pytest.approx(3 * first["frame_auc"]["p_alone"])
    backward = next(p for p in document["pairs"] if (p["a"], p["metric"]) == ("poor", "frame_auc"))
    assert backward["verdict"] == "fair ahead"
    assert {c["class"] for c in document["classes"]} == {"Fire", "Fight"}


def test_the_video_that_makes_the_difference_is_named() -> None:
    same, broken = _contestant("same", 2.0), _contestant("sam2", 2.0, broken=4)
    (pair,) = compare([same, broken], TRUTH, resamples=50, permutations=50).videos
    assert pair.gains[0][0] == "v04"
    assert pair.deciding == ("v04",)


def test_wrong_contestants_are_refused() -> None:
    one = _contestant("one", 1.0)
    with pytest.raises(UserError, match="two or more"):
        compare([one], TRUTH)
    with pytest.raises(UserError, match="two or more different"):
        compare([one, one], TRUTH)
