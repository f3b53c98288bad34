"""Frame metrics on the real sets' ground truth against scikit-learn on expanded frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.data.cards import find_card
from harness.data.importers import import_features
from harness.metrics.protocol import evaluate
from harness.records.predictions import Predictions


@pytest.mark.parametrize("name", ["ucf-crime-r3d34", "shanghaitech-tracks"])
def test_equals_sklearn_on_real_frames(real: Path, name: str) -> None:
    """Uniform segments, and a stride with partial last snippets; scores of 20 levels, so that most are tied."""
    bank = import_features(find_card(name), None, real / name, lambda done, total: None).bank
    truth, test = bank.truth(), bank.split("test")
    scores = (np.random.default_rng(0).integers(0, 20, int(test.offsets[-1])) / 20).astype(np.float32)
    videos = tuple(item.video for item in test.items)
    predictions = Predictions(videos, test.offsets, scores, truth.alignment, truth.classes)
    labels, values, partial = [], [], 0
    for index, video in enumerate(videos):
        rows = scores[predictions.rows(index)]
        frames = np.arange(truth.videos[video].frames)
        if truth.alignment.kind == "stride":
            owner = frames // 16
            partial += len(frames) % 16 > 0
        else:
            owner = frames * len(rows) // len(frames)
        labels.append(truth.videos[video].mask())
        values.append(rows[owner])
    expected, expanded = np.concatenate(labels), np.concatenate(values)
    found = evaluate(predictions, truth)
    assert found.frames == len(expected)
    assert abs(found.metrics["frame_auc"] - roc_auc_score(expected, expanded)) < 1e-12
    assert abs(found.metrics["frame_ap"] - average_precision_score(expected, expanded)) < 1e-12
    assert partial > 100 or truth.alignment.kind == "segments"
