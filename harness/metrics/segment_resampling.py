"""Detection mAP on resampled test videos: who hits what is settled within a video, and only ranks change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.errors import UserError
from harness.metrics.frame import Floats, Ints, snippet_frames
from harness.metrics.segments import THRESHOLDS, Detections, detections, hitting, overlaps, true_segments
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth


@dataclass(frozen=True, eq=False)
class _Before:
    """On each of the draws, how many detections come before some places `[P]` of the ranking: `counts` `[R, P]`."""

    places: Ints
    counts: Ints

    def at(self, places: Ints) -> Ints:
        """The counts at some of the places, `[R, those]`."""
        return self.counts[:, np.searchsorted(self.places, places)]


def resampled_maps(predictions: Predictions, truth: GroundTruth, draws: Ints) -> dict[str, Floats]:
    """Return `map@0.1` .. `map_avg` and `map_strict@0.1` .. `map_strict_avg`, each `[R]`, on resampled test videos.

    A video that is drawn twice counts as two, one after the other in the ranking. NaN where a resample lacks events.

    Args:
        draws: `[R, videos]`, how often each video counts.

    Raises:
        UserError: no class probabilities, or videos, alignment or classes other than the ground truth's.
    """
    if predictions.class_probs is None or predictions.classes != truth.classes:
        raise UserError("predictions: mAP needs probabilities of the classes of the test set")
    frames = snippet_frames(predictions, truth)
    found = detections(predictions.class_probs[frames.row], frames)
    values: dict[str, Floats] = {}
    for name, strict in (("map", False), ("map_strict", True)):
        segments = true_segments(truth, normal=not strict and truth.map_variant == "xd")
        each = _means(found, segments, _hits_at(found, segments, len(truth.classes)), draws, len(truth.classes), strict)
        if not strict:  # without an event no detection could be right
            abnormal = segments[segments[:, 1] > 0]
            each[:, ~(draws[:, np.unique(abnormal[:, 0])] > 0).any(axis=1)] = np.nan
        values |= {f"{name}@{threshold}": row for threshold, row in zip(THRESHOLDS, each, strict=True)}
        values[f"{name}_avg"] = each.mean(axis=0)
    return values


def _hits_at(found: Detections, segments: Ints, classes: int) -> list[Ints]:
    """The detections that take a segment at each threshold, in ranked order."""
    detection, segment, iou = overlaps(found, segments, classes)
    return [hitting(detection[iou >= threshold], segment[iou >= threshold]) for threshold in THRESHOLDS]


def _before(found: Detections, places: Ints, draws: Ints) -> _Before:
    """Count by video first: of a ranking of thousands few places are asked for, and draws count whole videos."""
    places, videos = np.unique(places), draws.shape[1]
    part = np.searchsorted(places, np.arange(len(found.video)), side="right")  # the place that it comes before
    own = np.bincount(part * videos + found.video, minlength=(len(places) + 1) * videos)
    by_video = np.cumsum(own.reshape(-1, videos)[:-1], axis=0, dtype=np.float64)
    # Whole numbers, exact in any order of additions, and faster as floats.
    return _Before(places, (draws.astype(np.float64) @ by_video.T).astype(np.int64))


def _means(found: Detections, segments: Ints, hits: list[Ints], draws: Ints, classes: int, strict: bool) -> Floats:
    """The mean over classes `[5, R]` at each threshold."""
    label = np.arange(classes)
    events = np.stack([draws[:, segments[segments[:, 1] == k, 0]].sum(axis=1) for k in label], axis=1)  # [R, K]
    edges = np.searchsorted(found.label, np.arange(classes + 1))
    before = _before(found, np.concatenate([edges, *hits]), draws)
    precisions = np.zeros((len(THRESHOLDS), len(draws), classes))
    for row, own in enumerate(hits):
        for k in label:
            mine = own[(own >= edges[k]) & (own < edges[k + 1])]
            in_class = before.at(mine) - before.at(edges[k : k + 1])
            precisions[row, :, k] = _sums(draws[:, found.video[mine]], in_class, strict)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = precisions / np.maximum(events, 1)
        if strict:
            there = (events > 0) & (label > 0)
            return np.asarray((each * there).sum(axis=2) / np.where(there.any(axis=1), there.sum(axis=1), np.nan))
    silent = (np.diff(before.at(edges), axis=1) == 0).any(axis=1)
    return np.asarray(np.where(silent, 0.0, each.mean(axis=2)))


def _sums(count: Ints, before: Ints, envelope: bool) -> Floats:
    """The sum of the precisions at hits `[R]` of one class.

    Args:
        count: `[R, H]`, how often each hit is drawn, by rank.
        before: `[R, H]`, the detections of the class before it.
        envelope: take the highest precision at the same or any later rank.
    """
    taken = np.cumsum(count, axis=1) - count
    if envelope:  # within copies of one detection precision rises, so the last of them counts
        last = np.where(count > 0, (taken + count) / np.maximum(before + count, 1), 0.0)
        highest = np.maximum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        return np.asarray((count * highest).sum(axis=1))
    total = np.zeros(len(count))
    for copy in range(1, int(count.max(initial=0)) + 1):
        total += np.where(count >= copy, (taken + copy) / (before + copy), 0.0).sum(axis=1)
    return total
