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
    hits, alarms = _cumulative(histograms(table, draws.shape[1]), draws)
    values = _areas(hits, alarms)
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


def _areas(hits: Floats, alarms: Floats) -> dict[str, Floats]:
    first, steps = hits[:, :1], np.diff(hits, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        doubled = (alarms[:, 0] * hits[:, 0]) + (np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1])).sum(axis=1)
        auc = doubled / (2 * hits[:, -1] * alarms[:, -1])
        precision = hits / np.maximum(hits + alarms, 1)
        ap = ((steps * precision[:, 1:]).sum(axis=1) + (first * precision[:, :1])[:, 0]) / hits[:, -1]
    return {"frame_auc": auc, "frame_ap": np.where(np.isfinite(auc), ap, np.nan)}
