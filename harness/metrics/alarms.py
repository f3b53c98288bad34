"""What an operator would see at a threshold: false alarms per hour, missed events, and how late the others are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.metrics.frame import Ints, SnippetFrames, snippet_frames
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth

# Above it is an alarm, unless somebody says otherwise.
FALSE_ALARM_THRESHOLD = 0.5


@dataclass(frozen=True)
class Alarms:
    """Alarms at one threshold. An alarm is a run of consecutive snippets of a video with scores above it.

    `per_hour`: alarms per hour of normal video (None without any). `events`: annotated events. `detected`: share of
    them with a snippet above the threshold. `delay`: median seconds from an event's start to the start of the first
    such snippet, 0 for one that covers the start (None if none is detected). `recall`: share of the events that some
    alarm of the video meets with IoU at least `iou`.
    """

    threshold: float
    per_hour: float | None
    events: int
    detected: float | None
    delay: float | None
    recall: float | None
    iou: float


@dataclass(frozen=True)
class Rated:
    """Alarms at one threshold; `rate` is the limit of false alarms per hour that set it (None: it was given)."""

    alarms: Alarms
    rate: float | None


def rated(
    predictions: Predictions,
    truth: GroundTruth,
    thresholds: Sequence[float],
    rates: Sequence[float],
    fps: float,
    iou: float = 0.5,
) -> tuple[Rated, ...]:
    """Return the alarms at `thresholds`, and where false alarms come down to `rates` per hour; at 0.5 without either.

    Raises:
        UserError: as `alarms` and `threshold_at_rate`.
    """
    wanted: list[tuple[float, float | None]] = [(threshold, None) for threshold in thresholds]
    wanted += [(threshold_at_rate(predictions, truth, rate, fps), rate) for rate in rates]
    return tuple(
        Rated(alarms(predictions, truth, threshold, fps, iou), rate)
        for threshold, rate in wanted or [(FALSE_ALARM_THRESHOLD, None)]
    )


def alarms(predictions: Predictions, truth: GroundTruth, threshold: float, fps: float, iou: float = 0.5) -> Alarms:
    """Return what a threshold means on this test set, recorded at `fps` frames per second.

    Raises:
        UserError: the predictions are not of this test set, or `fps` is not positive.
    """
    frames = snippet_frames(predictions, truth)
    scores = predictions.scores[frames.row].astype(np.float64)
    hours, normal = _normal(frames, truth, fps)
    video, start, end = _runs(frames, scores > threshold)
    late, met = [], 0
    edges = np.searchsorted(video, np.arange(len(truth.videos) + 1))
    for index, annotated in enumerate(truth.videos.values()):
        begins, ends = (values[edges[index] : edges[index + 1]] for values in (start, end))
        hot = (frames.video == index) & (scores > threshold)
        for event in annotated.events:
            close = min(event.end, annotated.frames)
            inside = hot & (frames.start < close) & (frames.end > event.start)
            if inside.any():
                late.append(max(int(frames.start[inside][0]) - event.start, 0) / fps)
            overlap = np.minimum(ends, close) - np.maximum(begins, event.start)
            union = (ends - begins) + (close - event.start) - overlap
            met += bool((overlap >= iou * union).any())
    events = sum(len(each.events) for each in truth.videos.values())
    return Alarms(
        threshold=threshold,
        per_hour=float(normal[video].sum() / hours) if hours else None,
        events=events,
        detected=len(late) / events if events else None,
        delay=float(np.median(late)) if late else None,
        recall=met / events if events else None,
        iou=iou,
    )


def threshold_at_rate(predictions: Predictions, truth: GroundTruth, per_hour: float, fps: float) -> float:
    """Return the lowest threshold from which on none raises more than `per_hour` false alarms.

    No lower than the lowest score of a normal video, below which every video is one alarm.

    Raises:
        UserError: the predictions are not of this test set, it has no normal video, or `fps` is not positive.
    """
    frames = snippet_frames(predictions, truth)
    hours, normal = _normal(frames, truth, fps)
    if not hours:
        raise UserError(f"{truth.dataset}: no normal video, so there are no false alarms to limit")
    keep = normal[frames.video] > 0
    scores, video = predictions.scores[frames.row].astype(np.float64)[keep], frames.video[keep]
    before = np.where(np.append(True, video[1:] != video[:-1]), -np.inf, np.append(-np.inf, scores[:-1]))
    # At threshold t an alarm opens at every snippet with before <= t < score.
    rises = before < scores
    places = np.concatenate([before[rises], scores[rises]])
    order = np.argsort(places, kind="stable")
    levels = places[order]
    counts = np.cumsum(np.repeat([1, -1], rises.sum())[order])
    last = np.append(levels[1:] != levels[:-1], True)
    levels, counts = levels[last], counts[last]
    too_many = np.flatnonzero(counts > per_hour * hours)
    # The count at a level holds up to the next one; the last count is zero.
    return float(levels[too_many[-1] + 1] if len(too_many) else scores.min())


def _normal(frames: SnippetFrames, truth: GroundTruth, fps: float) -> tuple[float, Ints]:
    """Hours of normal video that snippets cover, and which videos are normal `[videos]` (0 or 1)."""
    if not fps > 0:
        raise UserError(f"fps {fps:g}: expected frames per second above 0")
    normal = np.array([not video.abnormal for video in truth.videos.values()], dtype=np.int64)
    covered = np.bincount(frames.video, frames.end - frames.start, minlength=len(normal))
    return float((covered * normal).sum() / fps / 3600), normal


def _runs(frames: SnippetFrames, above: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Video, first frame and end frame of every run of snippets in `above`."""
    first = np.append(True, frames.video[1:] != frames.video[:-1])
    opening = np.flatnonzero(above & (first | ~np.append(False, above[:-1])))
    closing = np.flatnonzero(above & (np.append(first[1:], True) | ~np.append(above[1:], False)))
    return frames.video[opening], frames.start[opening], frames.end[closing]
