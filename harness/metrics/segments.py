"""Detection mAP at temporal IoU 0.1 to 0.5: the field's variant, number for number, and a corrected one.

The field's variant follows the public evaluation code of VadCLIP (nwpu-zxr/VadCLIP@f643c91, byte-identical in
lessiYin/DSANet), which works on scores repeated per frame. Scores are constant within a snippet, so everything here
works on snippets and weighs them by their frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.metrics.frame import Floats, Ints, SnippetFrames, snippet_frames
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
# A run is above max - LEVEL * (max - min) of its track; its score adds CONTEXT times the track's top mean, which is
# taken over one frame in TOP.
LEVEL, CONTEXT, TOP = 0.6, 0.7, 16


@dataclass(frozen=True, eq=False)
class Detections:
    """Detected segments `[D]`, ranked: by class, then falling score; ties keep the order of videos, then of time.

    Detection d says that frames [start, end) of `video` (index into the ground truth) show class `label`.
    """

    label: Ints
    video: Ints
    start: Ints
    end: Ints
    score: NDArray[np.float32]


def detections(probs: NDArray[np.float32], frames: SnippetFrames) -> Detections:
    """Return the detections of every class track of every video.

    A track is the column of one class in one video. Its top mean is the mean of its floor(F/16) highest frame scores
    (F frames; at least one), its level is max - 0.6 (max - min). Every run of at least 2 consecutive frames strictly
    above the level is a detection, scored by its highest frame plus 0.7 times the top mean. Tracks whose top mean is
    not positive and constant tracks give none. Levels and scores are float32, as the scores are.

    Args:
        probs: class scores `[N, K]` of the snippets in `frames`, in the same order.
        frames: the frames of the N snippets.
    """
    if not len(probs):
        nothing = np.zeros(0, dtype=np.int64)
        return Detections(nothing, nothing, nothing, nothing, np.zeros(0, dtype=np.float32))
    tracks = np.ascontiguousarray(probs.T)
    first = np.append(True, frames.video[1:] != frames.video[:-1])
    last = np.append(first[1:], True)
    begins = np.flatnonzero(first)
    lengths = np.diff(np.append(begins, len(first)))
    high = np.maximum.reduceat(tracks, begins, axis=1)
    low = np.minimum.reduceat(tracks, begins, axis=1)
    top = _top_means(tracks, frames.end - frames.start, begins)
    level = np.where(top > 0, high - LEVEL * (high - low), np.float32(np.inf))
    above = tracks > np.repeat(level, lengths, axis=1)

    # Runs of snippets: `opening` and `closing` are their first and last, as indices into the flat [K * N] tracks.
    before = np.pad(above[:, :-1], ((0, 0), (1, 0)))
    after = np.pad(above[:, 1:], ((0, 0), (0, 1)))
    opening = np.flatnonzero(above & (first | ~before))
    closing = np.flatnonzero(above & (last | ~after))
    label, opens = np.divmod(opening, len(first))
    start, end = frames.start[opens], frames.end[closing % len(first)]
    bounds = np.stack([opening, closing + 1], axis=1).ravel()
    peak = np.maximum.reduceat(np.append(tracks, np.float32(0)), bounds)[::2] if len(bounds) else tracks[0, :0]
    position = np.repeat(np.arange(len(begins)), lengths)
    score = peak + CONTEXT * top[label, position[opens]]

    long = np.flatnonzero(end - start >= 2)
    ranked = long[np.lexsort((-score[long], label[long]))]
    return Detections(label[ranked], frames.video[opens[ranked]], start[ranked], end[ranked], score[ranked])


def average_precisions(found: Detections, segments: Ints, classes: int, envelope: bool) -> Floats:
    """Return the average precision `[5, K]` of every class at every IoU threshold, 0 for classes without a hit.

    Detections are taken by falling score. One is a hit if some segment of its class and video, not yet taken, has
    IoU >= threshold; it takes the one of highest IoU (the first listed at equal IoU). The average precision is the
    sum over hits of the precision at the hit's rank, divided by the number of segments.

    Args:
        found: detections of all videos.
        segments: ground truth `[G, 4]`: video, class, start frame, end frame (exclusive), in list order.
        classes: K.
        envelope: replace each precision by the highest at the same or any later rank (all-point interpolation).
    """
    detection, segment, iou = overlaps(found, segments, classes)
    total = np.bincount(segments[:, 1], minlength=classes)
    result = np.zeros((len(THRESHOLDS), classes))
    for row, threshold in enumerate(THRESHOLDS):
        near = iou >= threshold
        hits = hitting(detection[near], segment[near])
        label = found.label[hits]
        rank = hits - np.searchsorted(found.label, label) + 1
        precision = (np.arange(len(hits)) - np.searchsorted(label, label) + 1) / rank
        if envelope:
            for owned in np.split(precision, np.flatnonzero(np.diff(label)) + 1):
                owned[::-1] = np.maximum.accumulate(owned[::-1])
        result[row] = np.bincount(label, precision, classes) / np.maximum(total, 1)
    return result


def field_mean(found: Detections, segments: Ints, classes: int) -> Floats:
    """Return the field's mAP `[5]` in [0, 1] at IoU 0.1 to 0.5: the plain mean over all K classes.

    The normal class and classes without ground truth (AP 0) stay in the mean, and if any class has no detection at
    all, every value is 0. Arguments as in `average_precisions`.
    """
    if (np.bincount(found.label, minlength=classes) == 0).any():
        return np.zeros(len(THRESHOLDS))
    return np.asarray(average_precisions(found, segments, classes, envelope=False).mean(axis=1))


def strict_mean(found: Detections, segments: Ints, classes: int) -> Floats | None:
    """Return the corrected mAP `[5]` in [0, 1] at IoU 0.1 to 0.5 over the abnormal classes in `segments`, None if none.

    Arguments as in `average_precisions`.
    """
    present = np.unique(segments[segments[:, 1] > 0, 1])
    if not len(present):
        return None
    return np.asarray(average_precisions(found, segments, classes, envelope=True)[:, present].mean(axis=1))


def field_map(predictions: Predictions, truth: GroundTruth) -> Floats:
    """Return the field's mAP `[5]` in [0, 1] at IoU 0.1 to 0.5, see `field_mean`, in the variant of `truth`.

    "ucf": normal videos have no ground truth, so the normal class has AP 0 and the ceiling is (K-1)/K. "xd": a normal
    video is one segment of class 0 over its whole length.

    Raises:
        UserError: no class probabilities, or videos, alignment or classes other than the ground truth's.
    """
    found = _detected(predictions, truth)
    return field_mean(found, true_segments(truth, normal=truth.map_variant == "xd"), len(truth.classes))


def strict_map(predictions: Predictions, truth: GroundTruth) -> Floats | None:
    """Return the corrected mAP `[5]` in [0, 1] at IoU 0.1 to 0.5, or None without ground truth of an abnormal class.

    Detections and matching as in the field's variant; the mean is over the abnormal classes that have ground truth,
    a class without detections has AP 0 and changes no other, and the average precision is that of the precision
    envelope (all-point interpolation).

    Raises:
        UserError: no class probabilities, or videos, alignment or classes other than the ground truth's.
    """
    return strict_mean(_detected(predictions, truth), true_segments(truth, normal=False), len(truth.classes))


def _top_means(tracks: NDArray[np.float32], widths: Ints, begins: Ints) -> NDArray[np.float32]:
    """Mean of the floor(F/16) highest frame scores `[K, videos]` of tracks `[K, N]`; video v begins at begins[v]."""
    result = np.empty((len(tracks), len(begins)), dtype=np.float32)
    for video, (begin, end) in enumerate(zip(begins, np.append(begins[1:], len(widths)), strict=True)):
        scores, width = tracks[:, begin:end], widths[begin:end]
        count = max(int(width.sum()) // TOP, 1)
        # However narrow they are, this many snippets hold `count` frames.
        enough = int(np.searchsorted(np.cumsum(np.sort(width)), count)) + 1
        highest = np.argpartition(scores, -enough, axis=1)[:, -enough:]
        order = np.argsort(-np.take_along_axis(scores, highest, axis=1), axis=1)
        highest = np.take_along_axis(highest, order, axis=1)
        frames = width[highest]
        used = np.clip(count - (np.cumsum(frames, axis=1) - frames), 0, frames)
        top = np.repeat(np.take_along_axis(scores, highest, axis=1), used.ravel()).reshape(len(tracks), count)
        # Added up in float32, frame by frame, as the official code does: another order lets near-ties swap ranks.
        result[:, video] = np.ascontiguousarray(top.T).mean(axis=0)
    return result


def overlaps(found: Detections, segments: Ints, classes: int) -> tuple[Ints, Ints, Floats]:
    """Pairs `[P]` of detection, segment and their IoU > 0, by rank of detection, then falling IoU, then list order."""
    keys = segments[:, 0] * classes + segments[:, 1]
    order = np.argsort(keys, kind="stable")
    wanted = found.video * classes + found.label
    low, high = np.searchsorted(keys[order], wanted), np.searchsorted(keys[order], wanted, side="right")
    counts = high - low
    detection = np.repeat(np.arange(len(wanted)), counts)
    segment = order[np.arange(len(detection)) + np.repeat(low - (np.cumsum(counts) - counts), counts)]
    start, end = found.start[detection], found.end[detection]
    begin, finish = segments[segment, 2], np.maximum(segments[segment, 2], segments[segment, 3])
    shared = np.maximum(np.minimum(end, finish) - np.maximum(start, begin), 0)
    iou = shared / (end - start + finish - begin - shared)
    ranked = np.lexsort((-iou, detection))
    ranked = ranked[iou[ranked] > 0]
    return detection[ranked], segment[ranked], iou[ranked]


def hitting(detection: Ints, segment: Ints) -> Ints:
    """Detections that take a segment, in ranked order, when each takes its first free one."""
    taken: set[int] = set()
    hits: dict[int, None] = {}
    for candidate, target in zip(detection.tolist(), segment.tolist(), strict=True):
        if candidate not in hits and target not in taken:
            taken.add(target)
            hits[candidate] = None
    return np.array(list(hits), dtype=np.int64)


def _detected(predictions: Predictions, truth: GroundTruth) -> Detections:
    if predictions.class_probs is None:
        raise UserError("predictions: no class probabilities; mAP needs a method that classifies")
    if predictions.classes != truth.classes:
        raise UserError(f"predictions: classes are {list(predictions.classes)}, expected {list(truth.classes)}")
    frames = snippet_frames(predictions, truth)
    return detections(predictions.class_probs[frames.row], frames)


def true_segments(truth: GroundTruth, normal: bool) -> Ints:
    """Ground truth `[G, 4]` of `average_precisions`: events as listed, not cut at the video's end.

    `normal` adds each normal video as one segment of class 0.
    """
    rows: list[tuple[int, int, int, int]] = []
    for index, video in enumerate(truth.videos.values()):
        if video.abnormal:
            rows += [(index, event.label, event.start, event.end) for event in video.events]
        elif normal and video.normal:
            rows.append((index, 0, 0, video.frames))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)
