"""Metrics of fixed scores, as the present version of the protocol computes them.

Where a figure here changes, `PROTOCOL_VERSION` is to be raised, and with it the version and the figures below.
"""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.protocol import evaluate
from harness.metrics.version import PROTOCOL_VERSION
from harness.records.predictions import Predictions
from tests.fakes import fake_truth

VERSION = 1
FIGURES = {
    "frame_auc": 0.5168924606723838,
    "frame_ap": 0.13127255163686288,
    "frame_pr_auc_trapezoid": 0.12428174347089753,
    "abnormal_auc": 0.5144552159433683,
    "abnormal_ap": 0.18517156016651998,
    "video_auc": 0.65625,
    "macro_auc": 0.5172456208844081,
    "false_alarm_rate": 0.4916151809355693,
    "map@0.1": 0.06935433725551264,
    "map@0.2": 0.033174928148961905,
    "map@0.3": 0.030334019058052813,
    "map@0.4": 0.013795722967549592,
    "map@0.5": 0.004901960784313725,
    "map_avg": 0.030312193642878134,
    "map_strict@0.1": 0.1193749086105726,
    "map_strict@0.2": 0.052732725865465804,
    "map_strict@0.3": 0.048471362229102165,
    "map_strict@0.4": 0.02069358445132439,
    "map_strict@0.5": 0.007352941176470588,
    "map_strict_avg": 0.04972510446658711,
}


def test_the_version_is_that_of_the_figures() -> None:
    truth = fake_truth("toy")
    counts = [-(-video.frames // 16) for video in truth.videos.values()]
    # Made by arithmetic alone, so that no generator has a say.
    steps = np.arange(sum(counts), dtype=np.int64)
    scores = ((steps * 7919) % 1009 / 1009).astype(np.float32)
    raw = np.stack([(steps * (31 + 12 * k)) % 101 + 1 for k in range(3)], axis=1)
    probs = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    offsets = np.cumsum([0, *counts])
    found = evaluate(Predictions(tuple(truth.videos), offsets, scores, truth.alignment, truth.classes, probs), truth)
    assert PROTOCOL_VERSION == VERSION
    assert found.metrics == pytest.approx(FIGURES, abs=1e-9)
