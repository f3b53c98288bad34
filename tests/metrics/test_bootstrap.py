"""Bootstrap over videos against test sets that are really built anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.metrics.bootstrap import intervals, multiplicities, resampled
from harness.metrics.frame import SnippetTable, average_precision, roc_auc, snippet_table
from tests.metrics.reference import normal, random_set, scene


def parts(seed: int) -> tuple[SnippetTable, np.ndarray]:
    predictions, truth = random_set(seed)
    return snippet_table(predictions, truth), np.array([not video.abnormal for video in truth.videos.values()])


def test_multiplicities_are_stratified_and_repeatable() -> None:
    kinds = np.array([True, False, True, True, False])
    draws = multiplicities(kinds, 500, seed=1)
    assert draws.shape == (500, 5)
    assert (draws[:, kinds].sum(axis=1) == 3).all()
    assert (draws[:, ~kinds].sum(axis=1) == 2).all()
    assert np.allclose(draws.mean(axis=0), 1, atol=0.15)
    assert (draws == multiplicities(kinds, 500, seed=1)).all()
    assert (draws != multiplicities(kinds, 500, seed=2)).any()
    assert (multiplicities(np.ones(3, dtype=bool), 4, seed=0).sum(axis=1) == 3).all()


@pytest.mark.parametrize("seed", range(4))
def test_resamples_are_exact(seed: int) -> None:
    table, kinds = parts(seed)
    draws = multiplicities(kinds, 60, seed)
    draws[0] = 1
    values = resampled(table, draws)
    for resample, counts in enumerate(draws):
        rows = np.concatenate([np.flatnonzero(table.video == v) for v in np.repeat(np.arange(len(counts)), counts)])
        built = table.scores[rows], table.positives[rows], table.negatives[rows]
        for name, metric in (("frame_auc", roc_auc), ("frame_ap", average_precision)):
            expected = metric(*built)
            assert values[name][resample] == pytest.approx(
                np.nan if expected is None else expected, abs=1e-12, nan_ok=True
            )


def test_interval_of_the_mean_over_tables() -> None:
    table, kinds = parts(2)
    other = replace(table, scores=1 - table.scores)
    draws = multiplicities(kinds, 300, seed=5)
    got = intervals([table, other], kinds, resamples=300, seed=5, level=0.9)
    for name in ("frame_auc", "frame_ap"):
        means = (resampled(table, draws)[name] + resampled(other, draws)[name]) / 2
        assert got[name] == pytest.approx(np.nanquantile(means, [0.05, 0.95]))
    # Turning the scores round mirrors the AUC, so the mean of both is 1/2 in every resample.
    assert got["frame_auc"] == pytest.approx((0.5, 0.5))


def test_undefined_metrics_are_left_out() -> None:
    table = snippet_table(*scene({"n": (normal(32), [0.2, 0.9])}))
    assert intervals([table], np.array([True]), resamples=10) == {}
