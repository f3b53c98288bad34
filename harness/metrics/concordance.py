"""The frame AUC as a sum over pairs of videos, which makes resampling whole videos nearly free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.metrics.frame import Floats, SnippetTable


def concordance(table: SnippetTable, videos: int) -> Floats:
    """Return `[videos, videos]`: pairs of a positive frame of u and a negative frame of v that are in order.

    In order means that the positive frame scores higher; a tie counts half. Counts stay far below 2**52, so they are
    exact, and so is every frame AUC that `auc` makes of them.
    """
    abnormal = np.flatnonzero(table.positives)
    abnormal = abnormal[np.argsort(table.scores[abnormal], kind="stable")]
    scores, weight, owner = table.scores[abnormal], table.positives[abnormal], table.video[abnormal]
    pairs = np.zeros((videos, videos))
    edges = np.searchsorted(table.video, np.arange(videos + 1))
    for video in range(videos):
        own = slice(edges[video], edges[video + 1])
        order = np.argsort(table.scores[own], kind="stable")
        ranked = table.scores[own][order]
        below = np.concatenate([[0], np.cumsum(table.negatives[own][order])])
        # Sorted needles make both searches a walk through memory.
        beaten = below[np.searchsorted(ranked, scores, "left")] + below[np.searchsorted(ranked, scores, "right")]
        pairs[:, video] = np.bincount(owner, weight * beaten, minlength=videos) / 2
    return pairs


def auc(pairs: Floats, positives: Floats, negatives: Floats, draws: NDArray[np.int64]) -> Floats:
    """Return the frame AUC `[R]` of the test set with video v counted draws[r, v] times; NaN where undefined.

    Args:
        pairs: `[videos, videos]` from `concordance`.
        positives, negatives: `[videos]`, frames of each kind.
        draws: `[R, videos]`.
    """
    weights = draws.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.einsum("rv,rv->r", weights @ pairs, weights) / ((weights @ positives) * (weights @ negatives))
        )
