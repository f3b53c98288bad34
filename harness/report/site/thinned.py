"""Scores made small enough for a page: means over adjacent snippets, and shares as characters that its script reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A share is one character, in so many steps, from this one on.
_LEVELS, _FIRST = 90, 35

Values = NDArray[np.float64]


def starts(count: int, most: int) -> NDArray[np.int64]:
    """Return where runs of adjacent snippets begin, so that there are at most `most` of them."""
    return np.arange(0, count, -(-count // most))


def thinned(values: Values, most: int) -> Values:
    """Return means `[<= most, ...]` over runs of adjacent snippets of `values` `[T, ...]`, at least one."""
    begins = starts(len(values), most)
    counts = np.diff(np.append(begins, len(values)))
    means: Values = np.add.reduceat(values, begins, axis=0) / counts.reshape(-1, *[1] * (values.ndim - 1))
    return means


def characters(shares: Values) -> str:
    """Return a character for each share, cut to 0..1."""
    return "".join(map(chr, np.rint(_LEVELS * np.clip(shares, 0, 1)).astype(int) + _FIRST))
