"""Frame AUC from pairs of videos, and curves, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from harness.metrics.bootstrap import multiplicities, resampled
from harness.metrics.concordance import auc, concordance
from harness.metrics.curves import PLACES, curves
from harness.metrics.frame import SnippetTable


def _table(seed: int, videos: int = 12, ties: bool = True) -> SnippetTable:
    rng = np.random.default_rng(seed)
    video = np.sort(rng.integers(0, videos, 150))
    positives = np.where(video % 2, rng.integers(0, 17, 150), 0)
    scores = rng.integers(0, 20, 150) / 20 if ties else rng.random(150)
    return SnippetTable(scores + 0.01 * positives, positives, 16 - positives, video)


@pytest.mark.parametrize("seed", range(5))
def test_concordance_gives_the_auc_of_every_resample(seed: int) -> None:
    table = _table(seed)
    draws = np.vstack([np.ones((1, 12), dtype=np.int64), multiplicities(np.arange(12) % 2 == 0, 40, seed)])
    frames = [np.bincount(table.video, counts, 12) for counts in (table.positives, table.negatives)]
    found = auc(concordance(table, 12), *frames, draws)
    np.testing.assert_allclose(found, resampled(table, draws)["frame_auc"], rtol=1e-12)
    labels = np.concatenate([np.repeat([1, 0], pair) for pair in zip(table.positives, table.negatives, strict=True)])
    assert found[0] == pytest.approx(roc_auc_score(labels, np.repeat(table.scores, 16)), abs=1e-12)


def test_curves_are_those_of_scikit_learn() -> None:
    table = _table(7, ties=False)
    labels = np.concatenate([np.repeat([1, 0], pair) for pair in zip(table.positives, table.negatives, strict=True)])
    scores = np.repeat(table.scores, 16)
    found = curves([table, table])
    assert found is not None
    alarms, recall, _ = roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.recall_at_false_alarms, np.interp(PLACES, alarms, recall), atol=1e-12)
    precision, recall, _ = precision_recall_curve(labels, scores)
    for place, value in zip(PLACES[1:], found.precision_at_recall[1:], strict=True):
        assert value == pytest.approx(precision[np.flatnonzero(recall >= place - 1e-12)[-1]])


def test_without_positive_frames_there_is_no_curve() -> None:
    table = _table(0)
    assert curves([table.where(table.positives == 0)]) is None
