"""Scores of any rows as scores of a data set's own snippets, which is what runs are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.records.alignment import Alignment
from harness.records.predictions import Predictions


def in_snippets(
    found: Predictions, alignment: Alignment, snippets: Mapping[str, int], frames: Mapping[str, int]
) -> Predictions:
    """Return predictions of the snippets of each video: a snippet has the mean score of its frames, as float32.

    Scores of these very snippets stay as they are. Frames beyond a video's last row have the last row's score.

    Args:
        alignment: how the snippets of the data set cover frames.
        snippets: how many each video has.
        frames: how many frames each video has.
    """
    counts = [snippets[video] for video in found.videos]
    if found.alignment == alignment and np.diff(found.offsets).tolist() == counts:
        return replace(found, scores=found.scores.astype(np.float32))
    parts = []
    for index, video in enumerate(found.videos):
        rows, length = found.rows(index), frames[video]
        edges = found.alignment.edges(rows.stop - rows.start, length)
        own = _columns(found)[rows]
        by_frame = np.repeat(own, np.diff(edges), axis=0)
        by_frame = np.concatenate([by_frame, np.repeat(own[-1:], length - len(by_frame), axis=0)])
        parts.append(_means(by_frame, alignment.edges(snippets[video], length)))
    values: NDArray[np.float32] = np.concatenate(parts).astype(np.float32)
    probs = None if found.class_probs is None else values[:, 1:]
    offsets = np.cumsum([0, *counts], dtype=np.int64)
    return Predictions(found.videos, offsets, values[:, 0], alignment, found.classes, probs)


def _columns(found: Predictions) -> NDArray[np.float64]:
    """Score and class probabilities of each row, `[N, 1 + K]`."""
    parts = [found.scores[:, None]] + ([] if found.class_probs is None else [found.class_probs])
    return np.concatenate(parts, axis=1).astype(np.float64)


def _means(values: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Means `[T, C]` of the frames `[F, C]` of each snippet; one without a frame has the last frame's values."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    lengths = np.diff(edges)[:, None]
    means = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(lengths, 1)
    found: NDArray[np.float64] = np.where(lengths > 0, means, values[-1])
    return found
