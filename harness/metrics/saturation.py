"""Scores that hardly differ rank nothing, whatever number a metric makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Shares of the scores that one value, and two values, may have at most.
ONE, TWO = 0.9, 0.95
# Fewer scores than this may well have two values.
FEW = 20
# Differences this small, next to the scores' size, are rounding in float32.
ROUNDING = 1e-6


def saturation(scores: NDArray[np.floating[Any]]) -> str:
    """Return in a sentence that nearly all of the scores `[N]` have the same value, or one of two; "" otherwise."""
    if len(scores) < 2:
        return ""
    values, counts = np.unique(scores, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:2]
    usual, share = values[order], counts[order].cumsum() / len(scores)
    if values[-1] - values[0] <= ROUNDING * np.abs(values[[0, -1]]).max():
        rounding = "" if len(values) == 1 else " but for rounding"
        return f"the scores are all the same{rounding} ({usual[0]:.6g}), so no metric of them says anything"
    if share[0] >= ONE:
        return f"{_percent(share[0])} of the scores are the same ({usual[0]:.6g}), so metrics say little of them"
    if share[-1] >= TWO and len(scores) >= FEW:
        shown = " or ".join(f"{value:.6g}" for value in sorted(usual))
        return f"{_percent(share[-1])} of the scores are {shown}, so they hardly rank anything"
    return ""


def _percent(share: float) -> str:
    """Rounded down, so that 100% means all."""
    return f"{np.floor(1000 * share) / 10:.1f}%"
