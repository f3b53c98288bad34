"""Bootstrap over videos against test sets that are really built anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from harness.metrics.bootstrap import deviate, multiplicities, resampled
from harness.metrics.frame import SnippetTable, average_precision, roc_auc, snippet_table
from harness.metrics.variance import estimates
from tests.metrics.reference import normal, random_set, scene


def parts_of(seed: int) -> tuple[SnippetTable, np.ndarray]:
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
    table, kinds = parts_of(seed)
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
    table, kinds = parts_of(2)
    other = replace(table, scores=table.scores + table.scores**2 * (table.video % 3))
    draws = multiplicities(kinds, 300, seed=5)
    found = estimates([table, other], kinds, resamples=300, seed=5)
    got = {name: each.of_weights.interval_in_odds(0.9) for name, each in found.items()}
    for name, metric in (("frame_auc", roc_auc), ("frame_ap", average_precision)):
        means = (resampled(table, draws)[name] + resampled(other, draws)[name]) / 2
        value = np.mean([metric(each.scores, each.positives, each.negatives) for each in (table, other)])
        below, above = (logit(value) - logit(end) for end in got[name])
        assert below == pytest.approx(-above)
        reach = below * value * (1 - value) / np.nanstd(means) / np.sqrt(len(kinds) / (len(kinds) - 2))
        # Student's t at 90%: 1.64 for many equal videos, 2.92 where one of each kind decides.
        assert 1.64 < reach <= 2.93
    # Turning the scores round mirrors the AUC, so the mean of both is 1/2 in every resample.
    mirrored = estimates([table, replace(table, scores=1 - table.scores)], kinds, resamples=50)
    assert mirrored["frame_auc"].of_weights.interval_in_odds() == pytest.approx((0.5, 0.5))


def test_perfect_scores_have_no_width() -> None:
    table, kinds = parts_of(2)
    perfect = replace(table, scores=(table.positives > 0).astype(float), negatives=16 * (table.positives == 0))
    found = estimates([perfect], kinds, resamples=20)
    assert {name: each.interval_in_odds() for name, each in found.items()} == {
        "frame_auc": (1.0, 1.0),
        "frame_ap": (1.0, 1.0),
    }


def test_few_videos_that_decide_widen_the_reach() -> None:
    kinds = np.arange(200) % 2 == 0
    random = np.random.default_rng(0)
    equal = deviate(0.8 + 1e-3 * random.choice([-1, 1], 200), kinds)
    assert equal == pytest.approx(1.96, abs=0.01)
    one = np.full(200, 0.8)
    one[17] = 0.7
    # All rests on one video: two degrees of freedom.
    assert deviate(one, kinds) == pytest.approx(4.30, abs=0.1)
    assert deviate(np.full(200, 0.8), kinds) == pytest.approx(1.96, abs=0.001)


def test_undefined_metrics_are_left_out() -> None:
    table = snippet_table(*scene({"n": (normal(32), [0.2, 0.9])}))
    assert estimates([table], np.array([True]), resamples=10) == {}
