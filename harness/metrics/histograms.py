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
from harness.metrics.frame import Floats, Ints, SnippetTable, average_precision, roc_auc

BINS = 512
# Resamples at a time: what is computed of them stays in the processor's cache.
_ROWS = 64


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


def resampled(table: SnippetTable, draws: Ints) -> dict[str, Floats]:
    """Return `bootstrap.resampled` to a good approximation, in a third of its time at UCF-Crime's size.

    What a row of `draws` changes is read off histograms; the test set itself, all ones, gets its exact value.

    Args:
        table: one set of predictions.
        draws: `[resamples, videos]`, how often each video counts; the first row is all ones.
    """
    values = _areas(histograms(table, draws.shape[1]), draws)
    exact = {
        "frame_auc": roc_auc(table.scores, table.positives, table.negatives),
        "frame_ap": average_precision(table.scores, table.positives, table.negatives),
    }
    return {
        name: each - each[0] + (np.nan if (whole := exact[name]) is None else whole) for name, each in values.items()
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
    wanted, zeros = PLACES - 1e-12, np.zeros((resamples, 1))
    for each in methods:
        hits, alarms = _cumulative(_summed(each), draws)
        recalls = hits / np.maximum(hits[:, -1:], 1)
        rates = np.hstack([zeros, alarms / np.maximum(alarms[:, -1:], 1)])
        precisions = hits / np.maximum(hits + alarms, 1)
        from_zero = np.hstack([zeros, recalls])
        for index in range(resamples):
            roc[index] += np.interp(PLACES, rates[index], from_zero[index])
            reached = np.minimum(recalls[index].searchsorted(wanted), BINS - 1)
            pr[index] += precisions[index].take(reached)
    cut = [np.quantile(curve / len(methods), [0.025, 0.975], axis=0) for curve in (roc, pr)]
    return Bands((cut[0][0], cut[0][1]), (cut[1][0], cut[1][1]))


def _summed(counted: Histograms) -> Histograms:
    """Frames at least as high as each bin in place of those in it.

    All numbers are whole, exact in any order of additions: these come before the weights, as there are fewer of them.
    """
    return Histograms(np.cumsum(counted.positives, axis=1), np.cumsum(counted.negatives, axis=1))


def _cumulative(summed: Histograms, draws: Ints) -> tuple[Floats, Floats]:
    """True and false positives `[R, BINS]` at falling scores, with video v counted draws[r, v] times."""
    weights = draws.astype(np.float64)
    abnormal = np.flatnonzero(summed.positives[:, -1])
    return weights[:, abnormal] @ summed.positives[abnormal], weights @ summed.negatives


def _areas(counted: Histograms, draws: Ints) -> dict[str, Floats]:
    """Return both metrics `[R]` with video v counted draws[r, v] times.

    They gain something only at the bins that hold positives, and by the videos that do.
    """
    bins, own = np.flatnonzero(counted.positives.any(axis=0)), np.flatnonzero(counted.positives.any(axis=1))
    if not len(bins):
        return {name: np.full(len(draws), np.nan) for name in ("frame_auc", "frame_ap")}
    inside, weights = counted.positives[np.ix_(own, bins)], draws.astype(np.float64)
    above, outside = np.cumsum(counted.negatives, axis=1)[:, bins], counted.negatives.sum(axis=1)
    # Twice the negatives of each video below a bin, those inside it counting half; then by pairs of videos. Whole
    # numbers, exact in any order of additions.
    below = 2 * (outside[:, None] - above) + counted.negatives[:, bins]
    doubled = np.einsum("rv,rv->r", weights[:, own] @ (inside @ below.T), weights)
    ap, gains = np.empty(len(draws)), np.zeros((_ROWS, BINS))
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = doubled / (2 * (weights[:, own] @ inside.sum(axis=1)) * (weights @ outside))
        for begin in range(0, len(draws), _ROWS):
            block = weights[begin : begin + _ROWS]
            steps = block[:, own] @ inside
            hits = np.cumsum(steps, axis=1)
            # At its place among all bins each gain is added in the same order whichever bins hold positives.
            gains[: len(block), bins] = steps * (hits / np.maximum(hits + block @ above, 1))
            summed = gains[:, 1:].sum(axis=1) + gains[:, 0]
            ap[begin : begin + _ROWS] = summed[: len(block)] / hits[:, -1]
    return {"frame_auc": auc, "frame_ap": np.where(np.isfinite(auc), ap, np.nan)}
