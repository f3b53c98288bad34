"""Metrics of an open vocabulary: base, novel and all classes, each beside all normal videos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.metrics.protocol import evaluate
from harness.metrics.vocabulary import evaluate_open
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth

CLASSES = ("Normal", "Known", "New")
TRUTH = GroundTruth(
    "open",
    CLASSES,
    Alignment(kind="stride", stride=16),
    {
        "n": VideoTruth(64, (0,)),
        "known": VideoTruth(64, (1,), (Event(0, 32, 1),)),
        "new": VideoTruth(64, (2,), (Event(0, 32, 2),)),
        "both": VideoTruth(64, (1, 2), (Event(0, 32, 1), Event(32, 64, 2))),
    },
)
RANDOM = np.random.default_rng(3)
PREDICTIONS = Predictions(
    tuple(TRUTH.videos),
    np.arange(5, dtype=np.int64) * 4,
    RANDOM.random(16, dtype=np.float32),
    TRUTH.alignment,
    CLASSES,
    RANDOM.dirichlet(np.ones(3), 16).astype(np.float32),
)


def alone(*names: str) -> dict[str, float]:
    truth = replace(TRUTH, videos={name: TRUTH.videos[name] for name in names})
    return evaluate(PREDICTIONS.of(names), truth).metrics


def test_each_part_is_scored_as_a_test_set_of_its_own() -> None:
    found = evaluate_open(PREDICTIONS, TRUTH, ["Known"])
    assert (found.videos, found.frames) == (3, 192)  # nobody can say of what kind a video of both classes is
    whole, base, novel = alone("n", "known", "new"), alone("n", "known"), alone("n", "new")
    for name in ("frame_auc", "frame_ap", "map_avg"):
        assert found.metrics[name] == whole[name]
        assert found.metrics[f"base_{name}"] == base[name]
        assert found.metrics[f"novel_{name}"] == novel[name]
    assert base["frame_auc"] != novel["frame_auc"]
    harmonic = 2 / (1 / base["frame_auc"] + 1 / novel["frame_auc"])
    assert found.metrics["harmonic_frame_auc"] == pytest.approx(harmonic, abs=1e-12)
