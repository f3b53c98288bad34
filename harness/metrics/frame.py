"""Frame metrics, computed exactly from snippets: a snippet counts once per frame it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SnippetFrames:
    """The frames of every snippet of a test set, videos in the ground truth's order, snippets in time order.

    Snippet n is row `row[n]` of the predictions, belongs to video `video[n]` (index into the ground truth) and covers
    the frames [start[n], end[n]). All arrays are `[N]`; snippets without a frame are left out, and those of videos that
    are not labelled.
    """

    row: Ints
    video: Ints
    start: Ints
    end: Ints


@dataclass(frozen=True, eq=False)
class SnippetTable:
    """Scores and frame counts of every snippet of a test set; what all frame metrics are computed from.

    All arrays are `[N]`: `scores`, `positives` (frames inside an event), `negatives` (frames outside), `video` (index
    into the ground truth's videos). Frames that no snippet covers appear nowhere.
    """

    scores: Floats
    positives: Ints
    negatives: Ints
    video: Ints

    def where(self, keep: NDArray[np.bool_]) -> SnippetTable:
        """Return the table of the snippets in the mask `keep` `[N]`."""
        return SnippetTable(self.scores[keep], self.positives[keep], self.negatives[keep], self.video[keep])


def snippet_frames(predictions: Predictions, truth: GroundTruth) -> SnippetFrames:
    """Return which frames every predicted snippet covers, by the alignment both sides agree on.

    Raises:
        UserError: the predictions hold other videos than the ground truth, or are aligned differently.
    """
    place = _places(predictions, truth)
    rows, videos, edges = [], [], []
    for index, (name, video) in enumerate(truth.videos.items()):
        owned = predictions.rows(place[name])
        count = owned.stop - owned.start if video.labels else 0
        rows.append(np.arange(owned.start, owned.start + count, dtype=np.int64))
        videos.append(np.full(count, index, dtype=np.int64))
        edges.append(truth.alignment.edges(count, video.frames))
    start = _joined([edge[:-1] for edge in edges])
    end = _joined([edge[1:] for edge in edges])
    keep = end > start
    return SnippetFrames(_joined(rows)[keep], _joined(videos)[keep], start[keep], end[keep])


def snippet_table(predictions: Predictions, truth: GroundTruth) -> SnippetTable:
    """Return the snippet table of a test set; a frame inside several events is one positive frame.

    Raises:
        UserError: the predictions hold other videos than the ground truth, or are aligned differently.
    """
    frames = snippet_frames(predictions, truth)
    offsets = np.searchsorted(frames.video, np.arange(len(truth.videos) + 1))
    positives = np.zeros(len(frames.row), dtype=np.int64)
    for index, video in enumerate(truth.videos.values()):
        owned = slice(offsets[index], offsets[index + 1])
        if video.events and owned.start < owned.stop:
            until = np.concatenate(([0], np.cumsum(video.mask(), dtype=np.int64)))
            positives[owned] = until[frames.end[owned]] - until[frames.start[owned]]
    # Widening float32 is exact, so scores that tie keep tying.
    scores = predictions.scores[frames.row].astype(np.float64)
    return SnippetTable(scores, positives, frames.end - frames.start - positives, frames.video)


def roc_auc(scores: Floats, positives: Ints, negatives: Ints) -> float | None:
    """Return the area under the ROC curve over frames, ties counting half; None unless both kinds of frames exist.

    `scores` `[N]` per snippet, `positives` and `negatives` `[N]` its frames of either kind. Equals scikit-learn's
    `roc_auc_score` on the scores repeated once per frame.
    """
    curve = _curve(scores, positives, negatives)
    if curve is None:
        return None
    hits, alarms = curve
    area = np.sum(np.diff(alarms) * (hits[1:] + hits[:-1])) / 2
    return float(area / (hits[-1] * alarms[-1]))


def average_precision(scores: Floats, positives: Ints, negatives: Ints) -> float | None:
    """Return the average precision over frames: the sum of precision times recall step, one step per distinct score.

    Arguments and None as in `roc_auc`. Equals scikit-learn's `average_precision_score` on the scores repeated once
    per frame; nothing is interpolated.
    """
    curve = _curve(scores, positives, negatives)
    if curve is None:
        return None
    hits, alarms = curve
    precision = hits[1:] / (hits[1:] + alarms[1:])
    return float(np.sum(np.diff(hits) * precision) / hits[-1])


def pr_auc_trapezoid(scores: Floats, positives: Ints, negatives: Ints) -> float | None:
    """Return the area under the precision-recall curve by the trapezoid rule, from the point (recall 0, precision 1).

    Arguments and None as in `roc_auc`. Equals scikit-learn's `auc(recall, precision)` of `precision_recall_curve` on
    the scores repeated once per frame. Several papers report it as "AP"; it is not, and is mostly a little different.
    """
    curve = _curve(scores, positives, negatives)
    if curve is None:
        return None
    hits, alarms = curve
    precision = np.concatenate(([1.0], hits[1:] / (hits[1:] + alarms[1:])))
    return float(np.sum(np.diff(hits) * (precision[1:] + precision[:-1])) / 2 / hits[-1])


def _curve(scores: Floats, positives: Ints, negatives: Ints) -> tuple[Floats, Floats] | None:
    """True and false positives `[G + 1]` when the 0, 1, ..., G highest distinct scores are called abnormal.

    Frame counts stay far below 2**53, so sums and products in float64 are exact.
    """
    weighty = np.flatnonzero(positives + negatives)
    order = weighty[np.argsort(-scores[weighty])]
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)[: len(order)]
    hits, alarms = (
        np.concatenate(([0.0], np.cumsum(frames[order])[last].astype(np.float64))) for frames in (positives, negatives)
    )
    return (hits, alarms) if hits[-1] and alarms[-1] else None


def _places(predictions: Predictions, truth: GroundTruth) -> dict[str, int]:
    place = {name: index for index, name in enumerate(predictions.videos)}
    missing = next((name for name in truth.videos if name not in place), None)
    if missing is not None:
        raise UserError(f"predictions: video {missing!r} of {truth.dataset} is missing; every test video needs scores")
    extra = next((name for name in predictions.videos if name not in truth.videos), None)
    if extra is not None:
        raise UserError(f"predictions: video {extra!r} is not a test video of {truth.dataset}; remove it")
    if predictions.alignment != truth.alignment:
        raise UserError(
            f"predictions: aligned by {predictions.alignment.model_dump_json()}, but {truth.dataset} is aligned by "
            f"{truth.alignment.model_dump_json()}; score them on the data set they were made for"
        )
    return place


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
