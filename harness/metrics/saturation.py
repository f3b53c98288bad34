"""Scores that hardly differ rank nothing, whatever number a metric makes of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# From this share of equal scores on, what is left to rank is an exception.
SHARE = 0.9
# Differences this small, next to the scores' size, are rounding in float32.
ROUNDING = 1e-6


def saturation(scores: NDArray[np.floating]) -> str:
    """Return in a sentence that nearly all of the scores `[N]` are equal; "" where they differ."""
    if len(scores) < 2:
        return ""
    values, counts = np.unique(scores, return_counts=True)
    usual, share = float(values[counts.argmax()]), float(counts.max() / len(scores))
    if len(values) == 1:
        return f"the scores are all the same ({usual:.6g}), so no metric of them says anything"
    if values[-1] - values[0] <= ROUNDING * np.abs(values[[0, -1]]).max():
        return f"the scores are all the same but for rounding ({usual:.6g}), so no metric of them says anything"
    if share >= SHARE:
        # Rounded down: 100% would say that all are.
        shown = np.floor(1000 * share) / 10
        return f"{shown:.1f}% of the scores are the same ({usual:.6g}), so metrics say little of them"
    return ""
