"""Metrics on plain arrays: those of scikit-learn where it has them, and those of the leaderboards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import harness
from harness import metrics
from harness.data.bank import Bank
from harness.metrics.intervals import uncertainty
from harness.metrics.segments import field_map, strict_map
from harness.records.predictions import Predictions
from harness.records.truth import Event, VideoTruth


def _merged(video: VideoTruth) -> VideoTruth:
    events: list[Event] = []
    for event in sorted(video.events, key=lambda each: (each.label, each.start)):
        end = min(event.end, video.frames)
        if events and events[-1].label == event.label and events[-1].end >= event.start:
            events[-1] = Event(events[-1].start, max(events[-1].end, end), event.label)
        else:
            events.append(Event(event.start, end, event.label))
    return replace(video, events=tuple(events))


def _of_demo(demo: Bank) -> tuple[Predictions, Any, dict[str, Any]]:
    """Random predictions of the demo's test set, and the same as arrays with one entry per frame."""
    whole = demo.truth()
    # Events of one class that touch are one event where a frame is all there is to say so.
    truth = replace(whole, videos={name: _merged(video) for name, video in whole.videos.items()})
    rng = np.random.default_rng(0)
    counts = [-(-video.frames // truth.alignment.stride) for video in truth.videos.values()]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    classes = len(truth.classes)
    probs = rng.random((offsets[-1], classes)).astype(np.float32)
    scores = rng.random(offsets[-1]).round(2).astype(np.float32)
    predictions = Predictions(tuple(truth.videos), offsets, scores, truth.alignment, truth.classes, probs)
    arrays: dict[str, list[Any]] = {"binary": [], "classes": [], "score": [], "probs": [], "videos": []}
    for index, (name, video) in enumerate(truth.videos.items()):
        shown = np.zeros((video.frames, classes), dtype=int)
        for event in video.events:
            shown[event.start : event.end, event.label] = 1
        rows = offsets[index] + np.arange(video.frames) // truth.alignment.stride
        arrays["classes"].append(shown)
        arrays["binary"].append(shown[:, 1:].any(axis=1).astype(int))
        arrays["score"].append(scores[rows])
        arrays["probs"].append(probs[rows])
        arrays["videos"].append(np.full(video.frames, name))
    return predictions, truth, {name: np.concatenate(parts) for name, parts in arrays.items()}


def test_frame_metrics(demo: Bank) -> None:
    predictions, truth, arrays = _of_demo(demo)
    pair = (arrays["binary"], arrays["score"])
    assert metrics.frame_auc(*pair) == pytest.approx(roc_auc_score(*pair), abs=1e-12)
    assert metrics.frame_ap(*pair) == pytest.approx(average_precision_score(*pair), abs=1e-12)
    known = uncertainty(predictions, truth).metrics
    expected = {name: each.interval_in_odds() for name, each in known.items() if not isinstance(each, str)}
    for name in ("frame_auc", "frame_ap"):
        found = metrics.bootstrap_interval(*pair, arrays["videos"], name)  # type: ignore[arg-type]
        assert found == pytest.approx(expected[name], abs=1e-9)
    narrow = metrics.bootstrap_interval(*pair, arrays["videos"], level=0.5)
    assert expected["frame_auc"][0] < narrow[0] < narrow[1] < expected["frame_auc"][1]


def test_map(demo: Bank) -> None:
    predictions, truth, arrays = _of_demo(demo)
    field = metrics.map_at_iou(arrays["classes"], arrays["probs"], arrays["videos"])
    assert list(field) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(field.values()) == pytest.approx(field_map(predictions, truth).tolist(), abs=1e-6)
    strict = metrics.map_at_iou(arrays["classes"], arrays["probs"], arrays["videos"], "strict")
    expected = strict_map(predictions, truth)
    assert expected is not None
    assert list(strict.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_class_indices_are_indicators() -> None:
    probs = np.eye(3)[[0, 1, 1, 0, 2, 2, 0, 0]] * 0.9 + 0.05
    labels, videos = np.array([0, 1, 1, 0, 2, 2, 0, 0]), ["a"] * 4 + ["b"] * 4
    found = metrics.map_at_iou(labels, probs, videos, "strict")
    assert found == metrics.map_at_iou(np.eye(3, dtype=int)[labels], probs, videos, "strict")
    assert found[0.5] == 1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.frame_auc([0, 1], [0.1]), "expected both"),
        (lambda: metrics.frame_auc([0, 2], [0.1, 0.2]), "0 for normal"),
        (lambda: metrics.frame_auc([0, 1], [0.1, np.nan]), "NaN"),
        (lambda: metrics.frame_ap([1, 1], [0.1, 0.2]), "needs normal and abnormal"),
        (lambda: metrics.bootstrap_interval([0, 1, 0], [0.1, 0.2, 0.3], ["a", "b", "a"]), "stand together"),
        (lambda: metrics.bootstrap_interval([0, 1], [0.1, 0.2], ["a", "b"]), "at least two"),
        (lambda: metrics.map_at_iou([0, 3], np.ones((2, 2)), ["a", "a"]), "class indices"),
        (lambda: metrics.map_at_iou([0, 0], np.ones((2, 2)), ["a", "a"]), "no frame is abnormal"),
        (lambda: metrics.map_at_iou([0, 1], np.ones(2), ["a", "a"]), "class probabilities"),
    ],
)
def test_wrong_arrays(call: Any, words: str) -> None:
    with pytest.raises(harness.UserError, match=words):
        call()
