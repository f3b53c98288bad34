"""How sure every number of the protocol is about one set of predictions: each metric on resampled test videos.

A metric is computed on the test videos that it looks at, each counted as often as it was drawn, with the same numbers
as building every resampled test set would give (for mAP but for ties between scores of different videos).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.metrics.alarms import FALSE_ALARM_THRESHOLD
from harness.metrics.bootstrap import plan, trapezoid
from harness.metrics.bootstrap import resampled as exactly
from harness.metrics.concordance import auc, concordance
from harness.metrics.frame import Floats, Ints, SnippetTable, roc_auc, snippet_table
from harness.metrics.segment_resampling import resampled_maps
from harness.metrics.variance import Estimate, mean
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth

Mask = NDArray[np.bool_]
# A metric of the frames of a test set, `frame_auc` and `frame_ap`, on each of the draws.
Resample = Callable[[SnippetTable, Ints], dict[str, Floats]]
Found = dict[str, "Estimate | str"]


@dataclass(frozen=True)
class Uncertainty:
    """How sure the metrics, and the AUC of each class, are: an estimate each, or in words why there is none."""

    metrics: Found
    class_auc: Found


def uncertainty(
    predictions: Predictions, truth: GroundTruth, resamples: int = 1000, resample: Resample = exactly
) -> Uncertainty:
    """Return how sure each metric of `evaluate` that is defined here is, as a statement about these weights.

    Args:
        resample: what computes frame AUC and AP on resampled videos.

    Raises:
        UserError: as `evaluate`.
    """
    table = snippet_table(predictions, truth)
    abnormal = np.array([video.abnormal for video in truth.videos.values()], dtype=bool)
    test = _Test(table, abnormal, resamples)
    found: Found = {}
    whole = test.part(np.ones(len(abnormal), dtype=bool))
    part = test.part(abnormal)
    found |= whole.estimates(resample, both=True)
    found |= whole.estimates(lambda table, draws: {"frame_pr_auc_trapezoid": trapezoid(table, draws)}, both=True)
    localised = part.estimates(resample)
    found |= {name.replace("frame", "abnormal"): each for name, each in localised.items()}
    tops = _tops(table, abnormal)
    found |= whole.estimates(lambda _, draws: {"video_auc": exactly(tops, draws)["frame_auc"]}, both=True)
    mixed = abnormal & (np.bincount(table.video, table.negatives, len(abnormal)) > 0)
    found |= test.part(mixed).estimates(_macro_auc)
    found |= test.part(~abnormal).estimates(_false_alarms)
    if predictions.class_probs is not None:
        found |= whole.estimates(lambda _, draws: resampled_maps(predictions, truth, draws), both=True)
    return Uncertainty(found, _classes(test, truth))


@dataclass(frozen=True, eq=False)
class _Part:
    """The test videos that a metric looks at, and the draws of them."""

    table: SnippetTable
    normal: Mask
    draws: Ints

    def estimates(self, values: Callable[[SnippetTable, Ints], dict[str, Floats]], both: bool = False) -> Found:
        """The metrics that `values` computes; `both` where they set normal against abnormal videos."""
        counts = (int((~self.normal).sum()), int(self.normal.sum()))
        kinds = [
            kind for kind, count in zip(("abnormal", "normal"), counts, strict=True) if (both or count) and count < 2
        ]
        drawn = values(self.table, self.draws) if len(self.normal) else {}
        if kinds:
            few = f"fewer than two {' and '.join(kinds)} videos: how far they differ is not known"
            return {name: few for name, each in drawn.items() if np.isfinite(each[0])}
        return {name: _estimate(each, self.normal) for name, each in drawn.items() if np.isfinite(each[0])}


@dataclass(frozen=True, eq=False)
class _Test:
    table: SnippetTable
    abnormal: Mask
    resamples: int

    def part(self, keep: Mask) -> _Part:
        own = self.table.where(keep[self.table.video])
        numbered = SnippetTable(own.scores, own.positives, own.negatives, (np.cumsum(keep) - 1)[own.video])
        normal = ~self.abnormal[keep]
        return _Part(numbered, normal, plan(normal, self.resamples, seed=0))


def _estimate(values: Floats, normal: Mask) -> Estimate | str:
    again = values[1 + len(normal) :]
    if np.isfinite(again).mean() < 0.5:
        return "undefined on most resamples"
    found = mean(values[None], normal)
    if found is None or not found.deviation:
        return "the same on every resample, which says nothing of other videos"
    return found


def _tops(table: SnippetTable, abnormal: Mask) -> SnippetTable:
    """Every video as one frame with the video's highest score, so that a frame metric is the video-level one."""
    video, first = np.unique(table.video, return_index=True)
    positive = abnormal[video].astype(np.int64)
    return SnippetTable(np.maximum.reduceat(table.scores, first), positive, 1 - positive, video)


def _macro_auc(table: SnippetTable, draws: Ints) -> dict[str, Floats]:
    edges = np.searchsorted(table.video, np.arange(draws.shape[1] + 1))
    own = [slice(begin, end) for begin, end in pairwise(edges)]
    values = [roc_auc(table.scores[each], table.positives[each], table.negatives[each]) for each in own]
    defined = np.array([value is not None for value in values])
    known = np.array([value or 0.0 for value in values])
    return {"macro_auc": _ratio(draws @ known, draws @ defined)}


def _false_alarms(table: SnippetTable, draws: Ints) -> dict[str, Floats]:
    frames = table.positives + table.negatives
    loud = table.scores > FALSE_ALARM_THRESHOLD
    counts = [np.bincount(table.video, frames * part, draws.shape[1]) for part in (loud, np.ones_like(loud))]
    return {"false_alarm_rate": _ratio(draws @ counts[0], draws @ counts[1])}


def _ratio(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan), dtype=np.float64)


def _classes(test: _Test, truth: GroundTruth) -> Found:
    """The AUC of each class over its videos and the normal ones, by pairs of videos."""
    videos = len(test.abnormal)
    pairs = concordance(test.table, videos)
    positives, negatives = (
        np.bincount(test.table.video, kind, videos).astype(np.float64)
        for kind in (test.table.positives, test.table.negatives)
    )
    found: Found = {}
    for label, name in enumerate(truth.classes):
        shows = np.array([label in video.labels for video in truth.videos.values()], dtype=bool)
        if label and shows.any():
            keep = shows | ~test.abnormal
            members = np.flatnonzero(keep)
            sums = pairs[np.ix_(members, members)]

            def values(_: SnippetTable, draws: Ints, sums: Floats = sums, own: Ints = members) -> dict[str, Floats]:
                return {"": auc(sums, positives[own], negatives[own], draws)}

            for each in test.part(keep).estimates(values, both=True).values():
                found[name] = each
    return found
