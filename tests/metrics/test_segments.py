"""Detection mAP against a plain per-frame reference, and by hand where official parity cases are blind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.errors import UserError
from harness.metrics.frame import snippet_frames
from harness.metrics.segments import detections, field_map, strict_map
from harness.records.alignment import Alignment
from tests.metrics.reference import (
    SEGMENTS,
    STRIDE,
    abnormal,
    normal,
    random_set,
    reference_map,
    scene,
    track_detections,
)


def tracks(*columns: list[float]) -> Any:
    """Class scores [T, K] from one column per class."""
    return np.array(columns, dtype=np.float32).T


def both(videos: dict[str, Any], classes: int = 2, **options: Any) -> tuple[list[float], list[float]]:
    """Field's and strict mAP, checked against the reference."""
    predictions, truth = scene(videos, [f"c{k}" for k in range(classes)], **options)
    field, strict = field_map(predictions, truth), strict_map(predictions, truth)
    assert field.tolist() == pytest.approx(reference_map(predictions, truth, strict=False), abs=1e-12)
    expected = reference_map(predictions, truth, strict=True)
    assert (None if strict is None else strict.tolist()) == (expected and pytest.approx(expected, abs=1e-12))
    return field.tolist(), [] if strict is None else strict.tolist()


def spans(videos: dict[str, Any], label: int, alignment: Alignment = STRIDE) -> list[tuple[int, int]]:
    predictions, truth = scene(videos, alignment=alignment)
    frames = snippet_frames(predictions, truth)
    found = detections(predictions.class_probs[frames.row], frames)
    chosen = found.label == label
    return list(zip(found.start[chosen].tolist(), found.end[chosen].tolist(), strict=True))


# A track of class 0 that gives one detection wherever a class must not be without any.
UP = [0.0, 1.0]


@pytest.mark.parametrize("variant", ["ucf", "xd"])
@pytest.mark.parametrize("alignment", [STRIDE, SEGMENTS], ids=["stride", "segments"])
@pytest.mark.parametrize("seed", range(15))
def test_equals_reference(seed: int, alignment: Alignment, variant: str) -> None:
    predictions, truth = random_set(seed, alignment=alignment, map_variant=variant)
    field, strict = field_map(predictions, truth), strict_map(predictions, truth)
    assert field.tolist() == pytest.approx(reference_map(predictions, truth, strict=False), abs=1e-12)
    assert strict is not None
    assert strict.tolist() == pytest.approx(reference_map(predictions, truth, strict=True), abs=1e-12)


@pytest.mark.parametrize("alignment", [STRIDE, SEGMENTS], ids=["stride", "segments"])
def test_detections_equal_reference(alignment: Alignment) -> None:
    random = np.random.default_rng(3)
    for _ in range(30):
        count = int(random.integers(1, 40))
        frames = count * 16 - int(random.integers(0, 16))
        probs = random.normal(0.3, 0.4, (count, 2)).astype(np.float32)
        predictions, truth = scene({"a": (normal(frames), probs)}, alignment=alignment)
        geometry = snippet_frames(predictions, truth)
        found = detections(probs[geometry.row], geometry)
        for label in (0, 1):
            track = np.repeat(probs[geometry.row, label], geometry.end - geometry.start)
            chosen = found.label == label
            ours = list(zip(found.score[chosen], found.start[chosen], found.end[chosen], strict=True))
            assert ours == sorted(track_detections(track), key=lambda run: -run[0])


def test_two_runs_compete_for_one_segment() -> None:
    # Runs [0, 48) and [64, 160) in the segment [0, 160): IoU 0.3 and 0.6.
    long_first = [0.9] * 3 + [0.0] + [1.0] * 6
    field, strict = both({"a": (abnormal(160, (0, 160, 1)), tracks(UP * 5, long_first))})
    # The better run comes first and takes the segment; the other one is a false alarm after the last hit.
    assert field == [0.5] * 5
    assert strict == [1.0] * 5
    short_first = [1.0] * 3 + [0.0] + [0.9] * 6
    field, strict = both({"a": (abnormal(160, (0, 160, 1)), tracks(UP * 5, short_first))})
    # The short run takes the segment up to IoU 0.3; above, it is a false alarm before the hit.
    assert field == [0.5, 0.5, 0.5, 0.25, 0.25]
    assert strict == [1.0, 1.0, 1.0, 0.5, 0.5]


def test_top_mean_decides_where_a_false_alarm_ranks() -> None:
    # b peaks highest, but fills only 16 of the 32 frames of its top mean: 1 + 0.7 * 0.5 = 1.35. It ranks between
    # a's hit, 0.9 + 0.7 * 0.9 = 1.53, and c's, 0.6 + 0.7 * 0.6 = 1.02.
    videos = {
        "a": (abnormal(160, (0, 80, 1)), tracks(UP * 5, [0.9] * 5 + [0.0] * 5)),
        "b": (normal(512), tracks(UP * 16, [1.0] + [0.0] * 31)),
        "c": (abnormal(160, (0, 80, 1)), tracks(UP * 5, [0.6] * 5 + [0.0] * 5)),
    }
    field, strict = both(videos)
    assert field == pytest.approx([(1 + 2 / 3) / 2 / 2] * 5)
    assert strict == pytest.approx([(1 + 2 / 3) / 2] * 5)


def test_envelope_is_only_in_the_strict_variant() -> None:
    videos = {
        "b": (normal(160), tracks(UP * 5, [1.0] * 5 + [0.0] * 5)),
        "a": (abnormal(160, (0, 80, 1)), tracks(UP * 5, [0.9] * 5 + [0.0] * 5)),
        "c": (abnormal(160, (0, 80, 1)), tracks(UP * 5, [0.6] * 5 + [0.0] * 5)),
    }
    field, strict = both(videos)
    assert field == pytest.approx([(1 / 2 + 2 / 3) / 2 / 2] * 5)
    assert strict == pytest.approx([(2 / 3 + 2 / 3) / 2] * 5)


@pytest.mark.parametrize(("length", "hits"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)])
def test_iou_exactly_at_a_threshold_counts(length: int, hits: int) -> None:
    # A run of 16 * length frames inside a segment of 160 frames: IoU is length / 10.
    track = [1.0] * length + [0.0] * (10 - length)
    _, strict = both({"a": (abnormal(160, (0, 160, 1)), tracks(UP * 5, track))})
    assert strict == [1.0] * hits + [0.0] * (5 - hits)


def test_class_without_detection() -> None:
    # Class 2 is constant: the field's number is 0 for all, the strict one only for that class.
    video = abnormal(64, (0, 32, 1), (0, 32, 2))
    field, strict = both({"a": (video, tracks(UP * 2, [1, 1, 0, 0], [0.5] * 4))}, classes=3)
    assert field == [0.0] * 5
    assert strict == [0.5] * 5
    # Without ground truth it has no say in the strict mean, but stays in the field's.
    field, strict = both({"a": (abnormal(64, (0, 32, 1)), tracks(UP * 2, [1, 1, 0, 0], UP * 2))}, classes=3)
    assert field == pytest.approx([1 / 3] * 5)
    assert strict == [1.0] * 5


def test_runs_of_one_and_two_frames() -> None:
    # Uniform segments of one frame each: [1, 2) is too short, [3, 5) is not; with 33 frames the last snippet has one.
    single = tracks([0, 1, 0, 1, 1, 0, 0, 0], [0, 1, 0, 1, 1, 0, 0, 0])
    assert spans({"a": (normal(8), single)}, 1, SEGMENTS) == [(3, 5)]
    assert spans({"a": (normal(33), tracks([0, 0, 1], [0, 0, 1]))}, 1) == []
    assert spans({"a": (normal(34), tracks([0, 0, 1], [0, 0, 1]))}, 1) == [(32, 34)]


def test_runs_reach_the_last_frame_and_stay_in_their_video() -> None:
    videos = {"a": (normal(40), tracks([0, 0, 1], [0, 1, 1])), "b": (normal(32), tracks([1, 0], [1, 0]))}
    assert spans(videos, 1) == [(16, 40), (0, 16)]
    assert spans(videos, 0) == [(32, 40), (0, 16)]


def test_runs_are_strictly_above_the_level() -> None:
    # Level 1 - 0.6 = 0.4 in float32; a score equal to it is outside.
    level = float(np.float32(1) - np.float32(0.6) * np.float32(1))
    assert spans({"a": (normal(48), tracks([0, 0, 1], [1, level, 0]))}, 1) == [(0, 16)]
    above = float(np.nextafter(np.float32(level), np.float32(1)))
    assert spans({"a": (normal(48), tracks([0, 0, 1], [1, above, 0]))}, 1) == [(0, 32)]


def test_equal_scores_keep_the_order_of_videos() -> None:
    run = tracks(UP * 5, [1.0] * 5 + [0.0] * 5)
    hit, miss = (abnormal(160, (0, 80, 1)), run), (normal(160), run)
    assert both({"a": hit, "b": miss})[0] == [0.5] * 5
    assert both({"a": miss, "b": hit})[0] == [0.25] * 5


def test_class_with_no_positive_top_mean_gives_nothing() -> None:
    assert spans({"a": (normal(64), tracks(UP * 2, [-1.0, -0.5, -1.0, 0.0]))}, 1) == []
    assert spans({"a": (normal(64), tracks(UP * 2, [-1.0, -0.8, -1.0, 0.1]))}, 1) == [(48, 64)]


def test_normal_videos_by_variant() -> None:
    videos = {
        "a": (abnormal(64, (0, 32, 1)), tracks([0, 0, 0, 0], [1, 1, 0, 0])),
        "n": (normal(64), tracks([1, 1, 1, 0], [0] * 4)),
    }
    assert both(videos, map_variant="ucf")[0] == [0.5] * 5
    assert both(videos, map_variant="xd")[0] == [1.0] * 5


def test_segments_beyond_the_video_are_not_cut() -> None:
    videos = {"a": (abnormal(32, (0, 64, 1)), tracks(UP, [0.0, 1.0]))}
    assert both(videos)[1] == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_without_abnormal_ground_truth() -> None:
    assert both({"n": (normal(32), tracks(UP, UP))})[1] == []


def test_missing_or_foreign_classes_are_refused() -> None:
    predictions, truth = scene({"a": (normal(32), tracks(UP, UP))})
    with pytest.raises(UserError, match="no class probabilities"):
        field_map(replace(predictions, class_probs=None), truth)
    with pytest.raises(UserError, match="classes are"):
        strict_map(replace(predictions, classes=("x", "y")), truth)
