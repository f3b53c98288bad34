"""Detection mAP on resampled test videos: who hits what is settled within a video, and only ranks change."""

from __future__ import annotations

import numpy as np

from harness.errors import UserError
from harness.metrics.frame import Floats, Ints, snippet_frames
from harness.metrics.segments import THRESHOLDS, Detections, detections, hitting, overlaps, true_segments
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth

# Resamples at a time: counts of so many rows of detections stay small.
_ROWS = 64


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
        hits = _hits_at(found, segments, len(truth.classes))
        blocks = [
            _means(found, segments, hits, draws[begin : begin + _ROWS], len(truth.classes), strict)
            for begin in range(0, len(draws), _ROWS)
        ]
        each = np.concatenate(blocks, axis=1)
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


def _means(found: Detections, segments: Ints, hits: list[Ints], draws: Ints, classes: int, strict: bool) -> Floats:
    """The mean over classes `[5, R]` at each threshold."""
    label = np.arange(classes)
    events = np.stack([draws[:, segments[segments[:, 1] == k, 0]].sum(axis=1) for k in label], axis=1)  # [R, K]
    many = draws[:, found.video]  # [R, D]
    # How many detections of its class come before each one.
    summed = np.concatenate([np.zeros((len(draws), 1), dtype=np.int64), np.cumsum(many, axis=1)], axis=1)
    edges = np.searchsorted(found.label, np.arange(classes + 1))
    precisions = np.zeros((len(THRESHOLDS), len(draws), classes))
    for row, own in enumerate(hits):
        for k in label:
            mine = own[(own >= edges[k]) & (own < edges[k + 1])]
            before = summed[:, mine] - summed[:, edges[k], None]
            precisions[row, :, k] = _sums(many[:, mine], before, strict)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = precisions / np.maximum(events, 1)
        if strict:
            there = (events > 0) & (label > 0)
            return np.asarray((each * there).sum(axis=2) / np.where(there.any(axis=1), there.sum(axis=1), np.nan))
    silent = (np.diff(summed[:, edges], axis=1) == 0).any(axis=1)
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
