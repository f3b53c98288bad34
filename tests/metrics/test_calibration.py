from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UserError
from harness.metrics.calibration import calibration
from harness.metrics.confusion import confusion
from harness.metrics.frame import SnippetTable
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth


def table(scores: list[float], positives: list[int], negatives: list[int]) -> SnippetTable:
    return SnippetTable(np.array(scores), np.array(positives), np.array(negatives), np.zeros(len(scores), dtype=int))


def test_calibration_counts_frames_of_all_seeds() -> None:
    found = calibration([table([0.05, 1.0], [1, 3], [9, 1]), table([0.05], [0], [10])])
    assert found is not None
    assert found.weight == pytest.approx([20 / 24, *[0] * 8, 4 / 24])
    assert (found.share[0], found.share[-1], found.score[-1]) == (pytest.approx(0.05), 0.75, 1.0)
    assert found.error == pytest.approx(4 / 24 * 0.25)
    assert np.isnan(found.share[1:-1]).all()


def test_scores_outside_the_unit_interval_are_no_probabilities() -> None:
    assert calibration([table([1.2], [1], [1])]) is None


def test_confusion_asks_the_highest_tenth_of_the_snippets() -> None:
    classes = ("Normal", "Fight", "Fire")
    videos = {
        "normal": VideoTruth(160, (0,)),
        "fight": VideoTruth(160, (1,), (Event(0, 16, 1),)),
        "both": VideoTruth(160, (1, 2), (Event(0, 16, 1),)),
        "fire": VideoTruth(160, (2,), (Event(0, 16, 2),)),
    }
    truth = GroundTruth("toy", classes, Alignment(kind="stride", stride=16), videos)
    # Only the snippet with the highest score speaks; normal is left out however likely.
    probs = np.tile(np.array([0.1, 0.8, 0.1], dtype=np.float32), (40, 1))
    scores = np.zeros(40, dtype=np.float32)
    scores[13], probs[13] = 1.0, [0.8, 0.05, 0.15]
    offsets = np.arange(5) * 10
    predictions = Predictions(tuple(videos), offsets, scores, truth.alignment, classes, probs)
    assert confusion(predictions, truth).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(UserError, match="no class probabilities"):
        confusion(Predictions(tuple(videos), offsets, scores, truth.alignment, classes), truth)
