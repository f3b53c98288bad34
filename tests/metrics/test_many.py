"""Many differences at once are, one by one, those of `variance.difference`; ranks from them are those of each alone."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics import variance
from harness.metrics.frame import Floats
from harness.metrics.many import Many
from harness.metrics.paired import holm, paired
from harness.report.leaderboard.ranking import LEVEL, in_groups

VIDEOS, RESAMPLES = 24, 200
NORMAL = np.arange(VIDEOS) % 3 > 0


def made(rng: np.random.Generator, seeds: int, level: float, spread: float) -> Floats:
    """Values of a row on a plan: videos that all rows share, seeds of its own."""
    shared = np.random.default_rng(1).normal(0, 0.02, 1 + VIDEOS + RESAMPLES)
    shared[0] = 0
    values = level + shared + rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 0.004, (seeds, shared.size))
    values[:, 1 : 1 + VIDEOS] = values[:, :1] + rng.normal(0, 0.002, (seeds, VIDEOS)) * np.arange(VIDEOS)
    return np.asarray(values)


def board(seed: int) -> tuple[list[Floats], list[tuple[int, ...]]]:
    """Rows of several seeds, others of other seeds or of one, equal rows, equal seeds, and undefined resamples."""
    rng = np.random.default_rng(seed)
    seeds: list[tuple[int, ...]] = [(0, 1, 2)] * 14 + [(3, 4, 5), (0, 1), (7,), (0, 1, 2, 3, 4)]
    values = [made(rng, len(each), 0.9 - 0.004 * index, 0.006) for index, each in enumerate(seeds)]
    values[3] = values[2].copy()
    values[5][:] = values[5][:1]
    for each in values:
        each[:, -3:] = np.nan
        each[:, 4] = np.nan
    return values, seeds


def test_each_difference_is_the_scalar_one() -> None:
    values, seeds = board(0)
    many = Many(values, seeds, NORMAL)
    for one in range(len(values)):
        others = np.array([index for index in range(len(values)) if index != one])
        found = many.differences(one, others)
        for at, other in enumerate(others):
            same = paired(seeds[one], seeds[other])
            expected = variance.difference(values[one], values[other], NORMAL, same)
            assert expected is not None
            ours = found.estimate(at)
            for name in ("value", "videos", "seeds", "shared", "video_freedom", "seed_freedom"):
                assert getattr(ours, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-18), (name, other)
            assert ours.p_value == pytest.approx(expected.p_value, rel=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_ranks_are_those_of_the_exact_p_values(seed: int) -> None:
    values, seeds = board(seed)
    many = Many(values, seeds, NORMAL)

    def exact(best: int) -> list[float]:
        pairs = [(values[best], values[k], NORMAL, paired(seeds[best], seeds[k])) for k in range(best + 1, len(values))]
        return [found.p_value for pair in pairs if (found := variance.difference(*pair)) is not None]

    ranks = in_groups(len(values), lambda best: many.p_values(best, LEVEL))
    assert ranks == in_groups(len(values), exact)
    assert len(set(ranks)) > 1
    for best in range(len(values)):
        ours, theirs = many.p_values(best, LEVEL), exact(best)
        assert ours is not None
        assert [value < LEVEL for value in holm(ours)] == [value < LEVEL for value in holm(theirs)]


def test_rows_that_are_defined_on_other_resamples_are_compared_one_by_one() -> None:
    values, seeds = board(0)
    values[1][0, 40] = np.nan
    many = Many(values, seeds, NORMAL)
    expected = variance.difference(values[0], values[1], NORMAL, True)
    found = many.p_values(0, LEVEL)
    assert found is not None
    assert expected is not None
    assert found[0] == expected.p_value


def test_an_undefined_row_leaves_all_without_a_test() -> None:
    values, seeds = board(0)
    values[2][:, 0] = np.nan
    assert Many(values, seeds, NORMAL).p_values(0, LEVEL) is None
