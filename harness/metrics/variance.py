"""How sure a mean over seeds is, or the difference of two: chance in the test videos and chance in the training.

A number speaks either of *these weights* (one set of predictions: other test videos could have come out otherwise) or
of *the method* (several seeds: other trainings could have, too). For a method the variance has two sources,

    V = A + max(B - C, 0),

A the variance of the mean over resampled test videos, B = s^2 / n from the spread s of n seeds on the whole test set,
and C = what the two have in common: what single seeds do on single videos is in A and in B, and counts once. C is the
mean variance, over resampled videos, of what sets each seed apart from the mean, over n. With equal seeds B and C
vanish.

How far an interval reaches follows from the degrees of freedom of both parts. The usual rule (Welch and Satterthwaite)
is too short where few seeds make most of the variance: with three seeds, equal methods were called different in 7.7%
of simulations at 5%. Here the quantile lies between those of the two parts, t_A and t_B:

    t = t_A + w^p (t_B - t_A),   w = (B - C / 2) / V within [0, 1],   p = 3/2 - 1 / (2 f),

f the degrees of freedom of B. `docs/statistics.md` has the simulations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import UNLIMITED, freedom, on_log_odds, plan, resampled
from harness.metrics.frame import Floats, Ints, SnippetTable

# Smallest p-value that is told apart from others.
_LEAST = 1e-12
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, or a difference of two means, in fractions, with the sources of its variance.

    `videos` is A, `seeds` B and `shared` C above; `video_freedom` and `seed_freedom` are the degrees of freedom of A
    and B, the latter `UNLIMITED` where B is 0.
    """

    value: float
    videos: float
    seeds: float
    shared: float
    video_freedom: float
    seed_freedom: float

    @property
    def variance(self) -> float:
        """Both sources together."""
        return self.videos + max(self.seeds - self.shared, 0.0)

    @property
    def deviation(self) -> float:
        """Standard error of the value."""
        return math.sqrt(self.variance)

    def reach(self, level: float) -> float:
        """Return how many standard errors a two-sided interval of this level reaches to either side."""
        from scipy.special import stdtrit

        of_videos = float(stdtrit(self.video_freedom, (1 + level) / 2))
        if not self.seeds or not self.variance:
            return of_videos
        of_seeds = float(stdtrit(self.seed_freedom, (1 + level) / 2))
        share = min(max((self.seeds - self.shared / 2) / self.variance, 0.0), 1.0)
        weight: float = share ** (1.5 - 0.5 / self.seed_freedom)
        return of_videos + weight * (of_seeds - of_videos)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval (low, high) of a difference, equally far to both sides."""
        half = self.reach(level) * self.deviation
        return self.value - half, self.value + half

    def interval_in_odds(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval (low, high) of a mean between 0 and 1, equally far to both sides in log odds."""
        return on_log_odds(self.value, self.deviation, self.reach(level))

    @property
    def p_value(self) -> float:
        """Two-sided: 1 less the level of the interval that just reaches 0; 1 where nothing varies."""
        from scipy.optimize import brentq

        if abs(self.value) <= _ROUNDING or not self.variance:
            return 1.0
        distance = abs(self.value) / self.deviation
        if distance >= self.reach(1 - _LEAST):
            return _LEAST
        return float(brentq(lambda p: self.reach(1 - p) - distance, _LEAST, 1.0, xtol=1e-14))

    @property
    def ahead(self) -> float:
        """Probability that the value is above 0, given the two sources of chance."""
        half = self.p_value / 2
        return 1 - half if self.value > 0 else half

    @property
    def of_weights(self) -> Estimate:
        """The same value as a statement about these weights: test videos are the only chance."""
        return replace(self, seeds=0.0, shared=0.0, seed_freedom=UNLIMITED)


def estimates(
    tables: Sequence[SnippetTable], normal: NDArray[np.bool_], resamples: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Return the means of `frame_auc` and `frame_ap` over `tables`, as far as they are defined.

    On the scale of log odds an interval reaches equally far to both sides. Plain percentiles of the resamples hold the
    true value too rarely, in 91% of simulated test sets as large and as uneven as UCF-Crime's where 95% was asked for.

    Args:
        tables: predictions of the same test set, one table per seed, at least one.
        normal: `[videos]`, True for normal videos, in the ground truth's order.
    """
    values = drawn(tables, plan(normal, resamples, seed))
    found = {name: mean(each, normal) for name, each in values.items()}
    return {name: each for name, each in found.items() if each is not None}


def drawn(tables: Sequence[SnippetTable], draws: Ints) -> dict[str, Floats]:
    """Return each metric of each table on each of the draws, `[tables, draws]`."""
    values = [resampled(table, draws) for table in tables]
    return {name: np.stack([value[name] for value in values]) for name in values[0]}


def mean(values: Floats, normal: NDArray[np.bool_]) -> Estimate | None:
    """Return the mean over seeds of a metric; None where it is undefined.

    Args:
        values: `[seeds, 1 + videos + resamples]`, the metric of each seed on a `bootstrap.plan`.
        normal: `[videos]`, True for normal videos.
    """
    videos = len(normal)
    again = values[:, 1 + videos :]
    again = again[:, np.isfinite(again).all(axis=0)]
    whole = values[:, 0]
    if not np.isfinite(whole).all() or not again.shape[1]:
        return None
    count = len(whole)
    average = again.mean(axis=0)
    # Resampled with replacement, n videos of a kind vary as n - 1 would.
    short = videos / max(videos - len(np.unique(normal)), 1)
    spread = float(whole.var(ddof=1)) / count if count > 1 else 0.0
    # What differs by rounding of sums only does not differ.
    by_seeds, by_videos = (each if each > _ROUNDING**2 else 0.0 for each in (spread, short * float(average.var())))
    apart = short * float((again - average).var(axis=1).sum()) / (count - 1) / count if by_seeds else 0.0
    return Estimate(
        value=float(whole.mean()),
        videos=by_videos,
        seeds=by_seeds,
        shared=apart,
        video_freedom=freedom(values[:, 1 : 1 + videos].mean(axis=0), normal),
        seed_freedom=float(count - 1) if by_seeds else UNLIMITED,
    )


def difference(a: Floats, b: Floats, normal: NDArray[np.bool_], paired: bool) -> Estimate | None:
    """Return the mean of `a` minus that of `b`; None where one is undefined.

    A single set of predictions adds no variance of seeds: the difference then speaks of those weights.

    Args:
        a, b: `[seeds, 1 + videos + resamples]` each, on the same `bootstrap.plan`.
        normal: `[videos]`, True for normal videos.
        paired: the i-th seed of both met the same sampling, so their differences are what varies.
    """
    if paired:
        return mean(a - b, normal)
    one, other = mean(a, normal), mean(b, normal)
    together = mean(a.mean(axis=0, keepdims=True) - b.mean(axis=0, keepdims=True), normal)
    if one is None or other is None or together is None:
        return None
    seeds = one.seeds + other.seeds
    doubt = one.seeds**2 / one.seed_freedom + other.seeds**2 / other.seed_freedom
    return replace(
        together,
        seeds=seeds,
        shared=one.shared + other.shared,
        seed_freedom=seeds**2 / doubt if doubt else UNLIMITED,
    )
