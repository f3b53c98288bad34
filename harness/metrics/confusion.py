"""Which anomaly class a method takes a video for."""

from __future__ import annotations

import numpy as np

from harness.errors import UserError
from harness.metrics.frame import Ints
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth


def confusion(predictions: Predictions, truth: GroundTruth) -> Ints:
    """Return how many abnormal videos of each class (rows) are taken for each class (columns), `[K - 1, K - 1]`.

    The normal class is left out of both. A video counts as the class with the highest mean probability over the tenth
    of its snippets (at least one) with the highest anomaly scores. Videos of several classes are left out.

    Raises:
        UserError: there are no class probabilities, or a video or class differs from the ground truth's.
    """
    if predictions.class_probs is None or predictions.classes != truth.classes:
        raise UserError("predictions: no class probabilities of the ground truth's classes")
    place = {name: index for index, name in enumerate(predictions.videos)}
    counts = np.zeros((len(truth.classes) - 1,) * 2, dtype=np.int64)
    for name, video in truth.videos.items():
        if name not in place:
            raise UserError(f"predictions: video {name!r} is missing")
        rows = predictions.rows(place[name])
        if len(video.labels) != 1 or not video.abnormal or rows.start == rows.stop:
            continue
        scores = predictions.scores[rows]
        top = np.argsort(-scores, kind="stable")[: max(1, len(scores) // 10)]
        counts[video.labels[0] - 1, predictions.class_probs[rows][top, 1:].mean(axis=0).argmax()] += 1
    return counts
