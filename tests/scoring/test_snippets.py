"""Scores of frames, segments and snippets become scores of a data set's snippets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.scoring.snippets import in_snippets

SNIPPETS = Alignment(kind="stride", stride=4)
FRAMES = Alignment(kind="stride", stride=1)


def given(alignment: Alignment, *videos: list[float], **rest: Any) -> Predictions:
    names = tuple(f"v{index}" for index in range(len(videos)))
    offsets = np.cumsum([0, *map(len, videos)], dtype=np.int64)
    return Predictions(names, offsets, np.concatenate(videos).astype(np.float64), alignment, ("normal", "bad"), **rest)


def test_frames_are_averaged() -> None:
    found = in_snippets(given(FRAMES, [0, 0, 1, 1, 5, 7], [2, 2, 2]), SNIPPETS, {"v0": 2, "v1": 1}, {"v0": 6, "v1": 3})
    assert found.scores.tolist() == [0.5, 6, 2]
    assert (found.alignment, found.offsets.tolist(), found.scores.dtype) == (SNIPPETS, [0, 2, 3], np.float32)


def test_frames_without_a_row_have_the_last_one() -> None:
    found = in_snippets(given(Alignment(kind="stride", stride=4), [1, 3]), SNIPPETS, {"v0": 3}, {"v0": 10})
    assert found.scores.tolist() == [1, 3, 3]


def test_segments_become_snippets_with_their_classes() -> None:
    probs = np.array([[1, 0], [0, 1]], dtype=np.float32)
    segments = given(Alignment(kind="segments"), [0, 1], class_probs=probs)
    found = in_snippets(segments, SNIPPETS, {"v0": 3}, {"v0": 12})
    assert found.scores.tolist() == [0, 0.5, 1]
    assert found.class_probs is not None
    assert found.class_probs.tolist() == [[1, 0], [0.5, 0.5], [0, 1]]


def test_a_snippet_beyond_the_video_has_the_last_score() -> None:
    found = in_snippets(given(FRAMES, [1, 2, 3, 4]), SNIPPETS, {"v0": 2}, {"v0": 4})
    assert found.scores.tolist() == [2.5, 4]


def test_scores_of_the_same_snippets_stay() -> None:
    values = [0.1, 0.2, 0.7]
    found = in_snippets(given(SNIPPETS, values), SNIPPETS, {"v0": 3}, {"v0": 10})
    assert found.scores.tolist() == pytest.approx(np.array(values, dtype=np.float32).tolist(), abs=0)
