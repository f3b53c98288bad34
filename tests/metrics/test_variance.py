"""Variance by test videos and by seeds, on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_ind

from harness.metrics.bootstrap import UNLIMITED, plan
from harness.metrics.power import seeds_needed
from harness.metrics.variance import Estimate, difference, mean

VIDEOS = 40
NORMAL = np.arange(VIDEOS) % 2 == 0
DRAWS = plan(NORMAL, resamples=4000, seed=0)


def metric(by_video: np.ndarray) -> np.ndarray:
    """A metric that is a mean over videos, on the plan: `[1 + videos + resamples]`."""
    return np.asarray(DRAWS @ by_video / DRAWS.sum(axis=1))


def test_one_set_of_predictions_varies_by_videos_alone() -> None:
    by_video = np.random.default_rng(0).standard_normal(VIDEOS)
    found = mean(metric(by_video)[None], NORMAL)
    assert found is not None
    expected = sum(each.var() * 20 for each in (by_video[NORMAL], by_video[~NORMAL])) / 40**2
    assert found.variance == pytest.approx(expected * 20 / 19, rel=0.06)
    assert (found.seeds, found.shared, found.seed_freedom) == (0, 0, UNLIMITED)
    assert found == found.of_weights


def test_seeds_alone_are_the_textbook_t_test() -> None:
    a, b = np.array([0.80, 0.84, 0.79, 0.83]), np.array([0.70, 0.78, 0.75, 0.72])
    one, other = (np.repeat(each[:, None], len(DRAWS), axis=1) for each in (a, b))
    paired, unpaired = (difference(one, other, NORMAL, same) for same in (True, False))
    assert paired is not None
    assert unpaired is not None
    assert paired.p_value == pytest.approx(ttest_1samp(a - b, 0).pvalue)
    assert unpaired.p_value == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue)
    half = student.ppf(0.975, 3) * (a - b).std(ddof=1) / 2
    assert paired.interval() == pytest.approx((np.mean(a - b) - half, np.mean(a - b) + half))
    assert paired.ahead == pytest.approx(1 - paired.p_value / 2)


def test_both_sources_add_up_and_what_they_share_counts_once() -> None:
    rng = np.random.default_rng(3)
    totals, parts = [], []
    for _ in range(400):
        # Videos with variance 1, seeds with 0.04, seeds on videos with 4; the mean over 5 seeds and 40 videos.
        videos, seeds = rng.standard_normal(VIDEOS), 0.2 * rng.standard_normal(5)
        values = videos + seeds[:, None] + 2 * rng.standard_normal((5, VIDEOS))
        found = mean(np.stack([metric(each) for each in values]), NORMAL)
        assert found is not None
        totals.append(values.mean())
        parts.append((found.videos, found.seeds, found.shared))
    by_videos, by_seeds, shared = np.mean(parts, axis=0)
    assert by_videos == pytest.approx((1 + 4 / 5) / VIDEOS, rel=0.1)
    assert by_seeds == pytest.approx((0.04 + 4 / VIDEOS) / 5, rel=0.1)
    assert shared == pytest.approx(4 / VIDEOS / 5, rel=0.1)
    assert by_videos + by_seeds - shared == pytest.approx(np.var(totals), rel=0.15)


def test_equal_seeds_add_nothing() -> None:
    by_video = np.random.default_rng(2).standard_normal(VIDEOS)
    once, thrice = (mean(np.stack([metric(by_video)] * count), NORMAL) for count in (1, 3))
    assert once is not None
    assert thrice is not None
    assert (thrice.seeds, thrice.shared, thrice.seed_freedom) == (0, 0, UNLIMITED)
    assert thrice.interval_in_odds() == pytest.approx(once.interval_in_odds(), abs=1e-12)


def test_an_interval_of_a_mean_stays_within_0_and_1_and_covers_seeds_that_disagree() -> None:
    # The board row that once read 58.17 ± 50.06 [54.66, 61.60].
    values = np.repeat(np.array([[0.228], [0.936]]), len(DRAWS), axis=1)
    found = mean(values, NORMAL)
    assert found is not None
    low, high = found.interval_in_odds()
    assert 0 <= low < 0.228
    assert 0.936 < high <= 1


def test_nothing_that_varies_is_no_evidence() -> None:
    flat = np.full((3, len(DRAWS)), 0.5)
    found = difference(flat + 0.1, flat, NORMAL, paired=True)
    assert found is not None
    assert found.p_value == 1
    undefined = flat.copy()
    undefined[1, 0] = np.nan
    assert mean(undefined, NORMAL) is None


def test_the_p_value_is_where_the_interval_ends() -> None:
    found = Estimate(0.1, videos=1e-3, seeds=4e-4, shared=1e-4, video_freedom=30, seed_freedom=2)
    low, _ = found.interval(1 - found.p_value)
    assert low == pytest.approx(0, abs=1e-9)
    assert found.reach(0.95) > student.ppf(0.975, 30)
    assert found.reach(0.95) < student.ppf(0.975, 2)


def test_power_counts_the_seeds_that_would_settle_it() -> None:
    open_ = Estimate(0.02, videos=1e-5, seeds=2e-4, shared=0.0, video_freedom=100, seed_freedom=2)
    needed = seeds_needed(open_, seeds=3)
    assert needed is not None
    # By hand: (reach + 0.84)^2 (1e-5 + 6e-4 / n) <= 4e-4 with a reach of about 2.1 gives 15 or so.
    assert 13 <= needed <= 18
    videos_too_few = Estimate(0.02, videos=1e-3, seeds=2e-4, shared=0.0, video_freedom=100, seed_freedom=2)
    assert seeds_needed(videos_too_few, seeds=3) is None
    clear = Estimate(0.2, videos=1e-5, seeds=1e-5, shared=0.0, video_freedom=100, seed_freedom=2)
    assert seeds_needed(clear, seeds=3) == 3
