"""Confidence intervals by resampling test videos: frames of one video are not independent, videos are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.metrics.frame import Floats, Ints, SnippetTable

# Levels of score times resamples of one block: small enough to stay in the processor's cache.
_BLOCK = 1 << 16
# Degrees of freedom of a variance that is known, in a form that JSON can hold.
UNLIMITED = 1e9


def multiplicities(normal: NDArray[np.bool_], resamples: int, seed: int) -> Ints:
    """Return how often each video is drawn `[resamples, videos]`, with replacement within each of the two kinds.

    Every resample has as many normal and as many abnormal videos as the test set. Equal arguments give equal draws:
    methods compared on the same draws are compared in pairs.

    Args:
        normal: `[videos]`, True for normal videos, in the ground truth's order.
    """
    generator = np.random.default_rng(seed)
    draws = np.zeros((resamples, len(normal)), dtype=np.int64)
    for kind in (False, True):
        members = np.flatnonzero(normal == kind)
        if len(members):
            draws[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return draws


def resampled(table: SnippetTable, draws: Ints) -> dict[str, Floats]:
    """Return `frame_auc` and `frame_ap`, each `[resamples]`, of the test set with video v counted draws[r, v] times.

    Exact: the same numbers as building every resampled test set. NaN where a resample lacks one kind of frames.

    Args:
        table: one set of predictions.
        draws: `[resamples, videos]` from `multiplicities`.
    """
    auc, ap = np.full(len(draws), np.nan), np.full(len(draws), np.nan)
    for block, found, hits, alarms in _blocks(table, draws):
        with np.errstate(invalid="ignore"):
            auc[block], ap[block] = _area(found, hits, alarms), _precision(found, hits, alarms)
    defined = np.isfinite(auc)
    return {"frame_auc": auc, "frame_ap": np.where(defined, ap, np.nan)}


def trapezoid(table: SnippetTable, draws: Ints) -> Floats:
    """Return `frame_pr_auc_trapezoid` `[resamples]`, as `resampled` does the others."""
    area = np.full(len(draws), np.nan)
    for block, found, hits, alarms in _blocks(table, draws):
        with np.errstate(invalid="ignore"):
            # Recall moves at levels with positives alone, from the precision of the last call before each one.
            called = hits - found + alarms[0:-1:2]
            before = np.where(called > 0, (hits - found) / np.maximum(called, 1), 1.0)
            precision = hits / np.maximum(hits + alarms[1::2], 1)
            total = np.einsum("lr,lr->r", found, before + precision) / 2 / hits[-1]
        area[block] = np.where(alarms[-1] > 0, total, np.nan)
    return area


def _blocks(table: SnippetTable, draws: Ints) -> Iterator[tuple[slice, Floats, Floats, Floats]]:
    """Yield some draws at a time: which, the positives `[L, R]` at each level, their sums and those of negatives."""
    inside, outside = _by_level(table, draws.shape[1])
    weights = np.ascontiguousarray(draws.T, dtype=np.float64)
    step = max(_BLOCK // outside.shape[0], 8)
    for begin in range(0, len(draws) if inside.shape[0] else 0, step):
        block = slice(begin, begin + step)
        drawn = np.ascontiguousarray(weights[:, block])
        found = inside @ drawn
        yield block, found, np.cumsum(found, axis=0), np.cumsum(outside @ drawn, axis=0)


def _by_level(table: SnippetTable, videos: int) -> tuple[Any, Any]:
    """Frames of each video by the scores at which there are positives, the L levels, highest first; sparse matrices.

    The first, `[L, videos]`, holds the positives at each level. The second, `[2 L + 1, videos]`, holds the negatives:
    row 2 l those above level l and below the one before, row 2 l + 1 those at level l. Only at these levels do AUC
    and AP gain anything, so the thousands of snippets between two of them are one row.
    """
    from scipy.sparse import csr_array

    positive, negative = table.positives > 0, table.negatives > 0
    levels, level = np.unique(-table.scores[positive], return_inverse=True)
    falling = -table.scores[negative]
    row = np.searchsorted(levels, falling, side="left") + np.searchsorted(levels, falling, side="right")
    inside = csr_array((table.positives[positive] * 1.0, (level, table.video[positive])), (len(levels), videos))
    outside = csr_array((table.negatives[negative] * 1.0, (row, table.video[negative])), (2 * len(levels) + 1, videos))
    return inside, outside


def plan(normal: NDArray[np.bool_], resamples: int, seed: int) -> Ints:
    """Return draws `[1 + videos + resamples, videos]`: the test set itself, without each video, and its resamples.

    Predictions of one test set share them; they cannot be written.
    """
    return _plan(normal.tobytes(), resamples, seed)


@lru_cache(maxsize=16)
def _plan(normal: bytes, resamples: int, seed: int) -> Ints:
    kinds = np.frombuffer(normal, dtype=np.bool_)
    whole, without = np.ones((1, len(kinds)), dtype=np.int64), 1 - np.eye(len(kinds), dtype=np.int64)
    draws = np.vstack([whole, without, multiplicities(kinds, resamples, seed)])
    draws.setflags(write=False)
    return draws


def parts(values: Floats, videos: int) -> tuple[float, Floats, Floats]:
    """Return, of a metric on a `plan`: its value, those without each video `[videos]`, those defined on resamples."""
    drawn = values[1 + videos :]
    return float(values[0]), values[1 : 1 + videos], drawn[np.isfinite(drawn)]


def percentiles(drawn: Floats, without: Floats, normal: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95% interval (low, high) of a difference, which may be lopsided: percentiles as far out as `deviate`.

    Args:
        drawn: the difference on resamples, at least one.
        without: the difference without each video `[videos]`.
        normal: `[videos]`, True for normal videos.
    """
    from scipy.special import ndtr

    tail = ndtr(-deviate(without, normal))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def deviate(without: Floats, normal: NDArray[np.bool_], level: float = 0.95) -> float:
    """Return how many standard deviations an interval reaches to either side: a quantile of Student's t.

    A few long videos hold most frames of a test set, so its variance is itself known from few. The degrees of freedom
    are Satterthwaite's, from how much each video moves the metric: near the number of videos where all weigh the same.

    Args:
        without: the metric without each video `[videos]`; NaN where it is undefined.
        normal: `[videos]`, True for normal videos.
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom(without, normal), (1 + level) / 2))


def freedom(without: Floats, normal: NDArray[np.bool_]) -> float:
    """Return the degrees of freedom of a metric's variance over test videos, as `deviate` uses them.

    Args:
        without: the metric without each video `[videos]`; NaN where it is undefined.
        normal: `[videos]`, True for normal videos.
    """
    total, doubt = 0.0, 0.0
    for kind in (False, True):
        own = without[normal == kind]
        own = own[np.isfinite(own)]
        if len(own) > 1:
            shares = ((own.mean() - own) * (len(own) - 1) / len(own)) ** 2
            total += shares.sum()
            doubt += shares.var(ddof=1) * len(own)
    return min(float(2 * total**2 / doubt), UNLIMITED) if doubt else UNLIMITED


def on_log_odds(value: float, deviation: float, reach: float) -> tuple[float, float]:
    """Return the interval (low, high) around a fraction, `reach` standard deviations to both sides in log odds."""
    slope = value * (1 - value)
    if not deviation or not slope:
        return value, value
    # Where seeds reach from chance to perfect, the interval is all of [0, 1].
    odds, factor = value / (1 - value), np.exp(min(reach * deviation / slope, 500.0))
    low, high = odds / factor, odds * factor
    return float(low / (1 + low)), float(1 - 1 / (1 + high))


def _area(found: Floats, hits: Floats, alarms: Floats) -> Floats:
    """ROC AUC `[R]` from the positives `[L, R]` at each level, their sums and those of `_by_level`'s negatives."""
    # Twice the negatives below each positive, those at its own level counting half.
    below = 2 * alarms[-1] - alarms[0:-1:2] - alarms[1::2]
    return np.asarray(np.einsum("lr,lr->r", found, below) / (2 * hits[-1] * alarms[-1]))


def _precision(found: Floats, hits: Floats, alarms: Floats) -> Floats:
    """Average precision `[R]` from the same; NaN without positives."""
    # The highest scores may belong to videos that were not drawn: no call yet, hence no precision, and no recall.
    precision = hits / np.maximum(hits + alarms[1::2], 1)
    return np.asarray(np.einsum("lr,lr->r", found, precision) / hits[-1])
