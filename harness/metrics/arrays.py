"""The field's metrics on plain arrays, one entry per frame, in scikit-learn's order: truth first, scores second.

They are the functions that the harness itself scores with, so a number computed here and a number on a leaderboard
differ by nothing. `videos` says which video each frame belongs to, in any values that can be compared; frames of one
video stand together and in time order.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UserError
from harness.metrics.frame import Floats, Ints, SnippetFrames, SnippetTable, average_precision, roc_auc
from harness.metrics.segments import THRESHOLDS, detections, field_mean, strict_mean
from harness.metrics.variance import estimates


def frame_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Return the area under the ROC curve over frames, ties counting half.

    Args:
        y_true: `[F]`, 1 for an abnormal frame and 0 for a normal one.
        y_score: `[F]`, the higher the more abnormal.

    Raises:
        UserError: the arrays do not fit each other, or hold other values, or only one kind of frames.
    """
    truth, scores = _frames(y_true, y_score)
    return _defined(roc_auc(scores, truth, 1 - truth), "frame AUC")


def frame_ap(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Return the average precision over frames, nothing interpolated; arguments and errors as `frame_auc`."""
    truth, scores = _frames(y_true, y_score)
    return _defined(average_precision(scores, truth, 1 - truth), "frame AP")


def map_at_iou(
    y_true: ArrayLike, y_score: ArrayLike, videos: ArrayLike, variant: Literal["field", "strict"] = "field"
) -> dict[float, float]:
    """Return the mean average precision of detected segments by IoU threshold, 0.1 to 0.5.

    Segments are detected in `y_score` as the field does, see `harness.metrics.segments.detections`. "field" is the
    mean over all K classes that papers report, "strict" the corrected one over the abnormal classes that occur.

    Args:
        y_true: `[F]` class indices, 0 normal, or indicators `[F, K]` where classes overlap.
        y_score: class probabilities `[F, K]`, the normal class first.
        videos: `[F]`, the video of each frame.

    Raises:
        UserError: the arrays do not fit each other, or no frame is abnormal.
    """
    probs = np.asarray(y_score, dtype=np.float32)
    if probs.ndim != 2 or not np.isfinite(probs).all():
        raise UserError(f"y_score: {list(probs.shape)}, expected finite class probabilities [F, K]")
    classes = probs.shape[1]
    video = _videos(videos, len(probs))
    segments = _segments(_indicators(y_true, len(probs), classes), video)
    found = detections(probs, _single_frames(video))
    strict = strict_mean(found, segments, classes)
    if strict is None:
        raise UserError("y_true: no frame is abnormal, so mAP is not defined")
    values = strict if variant == "strict" else field_mean(found, segments, classes)
    return dict(zip(THRESHOLDS, values.tolist(), strict=True))


def bootstrap_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    videos: ArrayLike,
    metric: Literal["frame_auc", "frame_ap"] = "frame_auc",
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval (low, high) of a metric over resampled test videos, as the leaderboards show it.

    It speaks of these scores alone: what they could have shown on other test videos, not what another training would.

    Args:
        y_true: `[F]`, 1 for an abnormal frame and 0 for a normal one.
        y_score: `[F]`.
        videos: `[F]`, the video of each frame; videos are drawn anew, never single frames.
        metric: which metric's interval.
        level: the share of such intervals that holds the true value.

    Raises:
        UserError: the arrays do not fit each other, or there are fewer than two normal or two abnormal videos.
    """
    truth, scores = _frames(y_true, y_score)
    video = _videos(videos, len(scores))
    abnormal = np.bincount(video, truth, minlength=int(video[-1]) + 1) > 0
    if min(abnormal.sum(), (~abnormal).sum()) < 2:
        raise UserError("videos: an interval needs at least two videos with abnormal frames and two without")
    found = estimates([SnippetTable(scores, truth, 1 - truth, video)], ~abnormal)
    if metric not in found:
        raise UserError(f"metric {metric!r}: expected {' or '.join(found)}")
    return found[metric].interval_in_odds(level)


def _frames(y_true: ArrayLike, y_score: ArrayLike) -> tuple[Ints, Floats]:
    truth, scores = np.asarray(y_true), np.asarray(y_score, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != scores.shape:
        shapes = f"y_true {list(truth.shape)} and y_score {list(scores.shape)}"
        raise UserError(f"{shapes}: expected both [F], one entry per frame")
    if not np.isin(truth, (0, 1)).all():
        raise UserError("y_true: expected 0 for normal frames and 1 for abnormal ones")
    if not np.isfinite(scores).all():
        raise UserError("y_score: holds NaN or infinity")
    return truth.astype(np.int64), scores


def _defined(value: float | None, name: str) -> float:
    if value is None:
        raise UserError(f"y_true: {name} needs normal and abnormal frames")
    return value


def _videos(videos: ArrayLike, frames: int) -> Ints:
    """Index of each frame's video, in the order of their first frames."""
    names: NDArray[Any] = np.asarray(videos)
    if names.shape != (frames,) or not frames:
        raise UserError(f"videos: {list(names.shape)}, expected [{frames}], the video of each frame")
    change = np.append(False, names[1:] != names[:-1])
    index = np.cumsum(change)
    if len(np.unique(names)) != index[-1] + 1:
        raise UserError("videos: the frames of a video must stand together")
    return index.astype(np.int64)


def _single_frames(video: Ints) -> SnippetFrames:
    """Every frame as a snippet of its own."""
    first = np.flatnonzero(np.append(True, video[1:] != video[:-1]))
    start = np.arange(len(video)) - first[video]
    return SnippetFrames(np.arange(len(video)), video, start, start + 1)


def _indicators(y_true: ArrayLike, frames: int, classes: int) -> NDArray[np.bool_]:
    truth = np.asarray(y_true)
    if truth.shape == (frames, classes) and np.isin(truth, (0, 1)).all():
        return truth.astype(bool)
    if truth.shape != (frames,) or truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= classes:
        raise UserError(
            f"y_true: expected class indices [{frames}] from 0 to {classes - 1}, or indicators [{frames}, {classes}]"
        )
    same: NDArray[np.bool_] = np.equal.outer(truth, np.arange(classes))
    return same


def _segments(indicators: NDArray[np.bool_], video: Ints) -> Ints:
    """Runs of frames of one abnormal class in one video `[G, 4]`: video, class, start, end."""
    first = np.flatnonzero(np.append(True, video[1:] != video[:-1]))
    found = []
    for label in range(1, indicators.shape[1]):
        shown = indicators[:, label]
        before = np.append(False, shown[:-1] & (video[1:] == video[:-1]))
        after = np.append(shown[1:] & (video[1:] == video[:-1]), False)
        for start, last in zip(np.flatnonzero(shown & ~before), np.flatnonzero(shown & ~after), strict=True):
            origin = first[video[start]]
            found.append((video[start], label, start - origin, last + 1 - origin))
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 4)
