"""Many reweighted test sets at once: matrix products over how each video's frames spread over the scores' ranks.

Ranks are put into `BINS` classes of equal frame count, which moves a metric by far less than chance does; what a run
reports is computed exactly in `frame`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import multiplicities
from harness.metrics.curves import PLACES
from harness.metrics.frame import Floats, Ints, SnippetTable

BINS = 512
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Histograms:
    """Frames `[videos, BINS]` inside (`positives`) and outside events, the highest scores in the first bin."""

    positives: Floats
    negatives: Floats


def histograms(table: SnippetTable, videos: int) -> Histograms:
    """Return the histograms of one set of predictions of `videos` test videos."""
    frames = table.positives + table.negatives
    _, group = np.unique(-table.scores, return_inverse=True)
    weight = np.bincount(group, frames)
    # The middle of the ranks that equal scores share: scores of two methods have no common scale, ranks have.
    rank = (np.cumsum(weight) - weight / 2) / max(weight.sum(), 1)
    place = table.video * BINS + np.minimum((rank[group] * BINS).astype(np.int64), BINS - 1)
    positives, negatives = (np.bincount(place, kind, videos * BINS) for kind in (table.positives, table.negatives))
    shape = (videos, BINS)
    return Histograms(positives.astype(np.float64).reshape(shape), negatives.astype(np.float64).reshape(shape))


def exchange_p_values(
    a: Sequence[Histograms], b: Sequence[Histograms], permutations: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Return the two-sided p-values of the difference in `frame_auc` and `frame_ap` between two methods.

    The test of `paired.differences`: scores are exchanged video by video. `a` and `b` hold one entry per seed; a
    shorter list starts over. A metric that is not defined is left out.
    """
    videos, pairs = len(a[0].positives), max(len(a), len(b))
    drawn = np.random.default_rng(seed + 1).integers(0, 2, (permutations, videos))
    exchanges = np.vstack([np.zeros(videos), drawn])
    total: dict[str, Floats] = {}
    for index in range(pairs):
        one, other = a[index % len(a)], b[index % len(b)]
        hits = _exchanged(one.positives, other.positives, exchanges)
        alarms = _exchanged(one.negatives, other.negatives, exchanges)
        ahead, behind = _areas(hits[0], alarms[0]), _areas(hits[1], alarms[1])
        total = {name: total.get(name, 0) + ahead[name] - behind[name] for name in ahead}
    return {
        name: float(np.mean(np.abs(values) >= abs(values[0]) - _TINY))
        for name, values in total.items()
        if np.isfinite(values[0])
    }


@dataclass(frozen=True, eq=False)
class Bands:
    """The lowest and highest 2.5% cut off: `roc` and `pr`, each (low, high) at `PLACES`."""

    roc: tuple[Floats, Floats]
    pr: tuple[Floats, Floats]


def bands(methods: Sequence[Histograms], normal: NDArray[np.bool_], resamples: int = 200, seed: int = 0) -> Bands:
    """Return pointwise 95% bands of the two curves' mean over `methods` (one per seed), from resampled videos.

    Args:
        normal: `[videos]`, True for normal videos, in the ground truth's order.
    """
    draws = multiplicities(normal, resamples, seed)
    roc, pr = np.zeros((resamples, len(PLACES))), np.zeros((resamples, len(PLACES)))
    for each in methods:
        hits, alarms = _cumulative(each, draws)
        for index, (hit, alarm) in enumerate(zip(hits, alarms, strict=True)):
            recall = hit / max(hit[-1], 1)
            roc[index] += np.interp(PLACES, np.append(0, alarm / max(alarm[-1], 1)), np.append(0, recall))
            reached = np.minimum(np.searchsorted(recall, PLACES - 1e-12), BINS - 1)
            pr[index] += (hit / np.maximum(hit + alarm, 1))[reached]
    cut = [np.quantile(curve / len(methods), [0.025, 0.975], axis=0) for curve in (roc, pr)]
    return Bands((cut[0][0], cut[0][1]), (cut[1][0], cut[1][1]))


def _cumulative(counted: Histograms, draws: Ints) -> tuple[Floats, Floats]:
    """True and false positives `[R, BINS]` at falling scores, with video v counted draws[r, v] times."""
    weights = draws.astype(np.float64)
    abnormal = np.flatnonzero(counted.positives.any(axis=1))
    hits = np.cumsum(weights[:, abnormal] @ counted.positives[abnormal], axis=1)
    return hits, np.cumsum(weights @ counted.negatives, axis=1)


def _exchanged(one: Floats, other: Floats, exchanges: Floats) -> tuple[Floats, Floats]:
    """Cumulative counts `[P, BINS]` of two methods after each exchange `[P, videos]` of their histograms."""
    different = np.flatnonzero((one != other).any(axis=1))
    moved = exchanges[:, different] @ (other - one)[different]
    return np.cumsum(one.sum(axis=0) + moved, axis=1), np.cumsum(other.sum(axis=0) - moved, axis=1)


def _areas(hits: Floats, alarms: Floats) -> dict[str, Floats]:
    first, steps = hits[:, :1], np.diff(hits, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        doubled = (alarms[:, 0] * hits[:, 0]) + (np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1])).sum(axis=1)
        auc = doubled / (2 * hits[:, -1] * alarms[:, -1])
        precision = hits / np.maximum(hits + alarms, 1)
        ap = ((steps * precision[:, 1:]).sum(axis=1) + (first * precision[:, :1])[:, 0]) / hits[:, -1]
    return {"frame_auc": auc, "frame_ap": np.where(np.isfinite(auc), ap, np.nan)}
