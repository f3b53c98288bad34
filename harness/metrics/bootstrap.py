"""Confidence intervals by resampling test videos: frames of one video are not independent, videos are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.metrics.frame import Floats, Ints, SnippetTable

# Snippets times resamples of one block: small enough to stay in the processor's cache.
_BLOCK = 1 << 16


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
    weighty = np.flatnonzero(table.positives + table.negatives)
    order = weighty[np.argsort(-table.scores[weighty], kind="stable")]
    scores, video = table.scores[order], table.video[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(order)])
    # Snippets along the rows, resamples along the columns: cumulative sums then run over whole rows at once.
    positives, negatives = (frames[order, None].astype(np.float64) for frames in (table.positives, table.negatives))
    weights = np.ascontiguousarray(draws.T, dtype=np.float64)
    auc, ap = np.full(len(draws), np.nan), np.full(len(draws), np.nan)
    step = max(_BLOCK // max(len(order), 1), 8)
    for begin in range(0, len(draws) if len(order) else 0, step):
        block = slice(begin, begin + step)
        drawn = weights[:, block][video]
        hits = np.cumsum(positives * drawn, axis=0)[last]
        alarms = np.cumsum(negatives * drawn, axis=0)[last]
        with np.errstate(invalid="ignore"):
            auc[block], ap[block] = _area(hits, alarms), _precision(hits, alarms)
    defined = np.isfinite(auc)
    return {"frame_auc": auc, "frame_ap": np.where(defined, ap, np.nan)}


def intervals(
    tables: Sequence[SnippetTable],
    normal: NDArray[np.bool_],
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Return the percentile interval (low, high) of `frame_auc` and `frame_ap`, averaged over `tables`.

    The mean over the tables (one per seed) is taken within each resample, and all tables meet the same resamples, so
    the interval speaks of the mean that is reported. Resamples in which a metric is undefined do not count; a metric
    undefined in all of them is left out.

    Args:
        tables: predictions of the same test set, one table per seed, at least one.
        normal: `[videos]`, True for normal videos, in the ground truth's order.
        level: share of the resamples inside the interval.
    """
    draws = multiplicities(normal, resamples, seed)
    values = [resampled(table, draws) for table in tables]
    tail = (1 - level) / 2
    result = {}
    for name in values[0]:
        means = np.mean([value[name] for value in values], axis=0)
        means = means[np.isfinite(means)]
        if len(means):
            low, high = np.quantile(means, [tail, 1 - tail])
            result[name] = (float(low), float(high))
    return result


def _area(hits: Floats, alarms: Floats) -> Floats:
    """ROC AUC `[R]` from true and false positives `[G, R]` at falling scores; NaN if one kind is absent."""
    # Trapezoids: the first one starts at the origin.
    doubled = alarms[0] * hits[0] + np.einsum("gr,gr->r", np.diff(alarms, axis=0), hits[1:] + hits[:-1])
    return np.asarray(doubled / (2 * hits[-1] * alarms[-1]))


def _precision(hits: Floats, alarms: Floats) -> Floats:
    """Average precision `[R]` from true and false positives `[G, R]` at falling scores; NaN without positives."""
    # The highest scores may belong to videos that were not drawn: no call yet, hence no precision, and no recall.
    precision = hits / np.maximum(hits + alarms, 1)
    return np.asarray((np.einsum("gr,gr->r", np.diff(hits, axis=0), precision[1:]) + hits[0] * precision[0]) / hits[-1])
