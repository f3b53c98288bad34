"""Arrays in files that are mapped into memory, read from the disk before somebody waits for them."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A kernel reads no more than about this much for one request, and goes on at once.
_REQUEST = 1 << 19


def requests(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield start and size of the requests by which a system reads all bytes first .. last of a file."""
    for start in range(first, last, _REQUEST):
        yield start, min(_REQUEST, last - start)


def will_need(array: NDArray[Any], start: int, stop: int) -> None:
    """Let the system read rows start .. stop of a mapped array, all of them together, and return meanwhile.

    Without it the rows come a few pages at a time, each when it is touched. For other arrays, and where a system cannot
    be told, nothing happens.
    """
    mapped: Any = getattr(array, "_mmap", None)
    if not isinstance(array, np.memmap) or not hasattr(mapped, "madvise") or stop <= start:
        return
    # A map begins at a multiple of the granularity, which may be before the array's own offset in the file.
    row, before = array.nbytes // len(array), array.offset % mmap.ALLOCATIONGRANULARITY
    first, last = before + start * row, before + stop * row
    with contextlib.suppress(OSError):  # a system may refuse advice
        for begin, size in requests(first // mmap.PAGESIZE * mmap.PAGESIZE, last):
            mapped.madvise(mmap.MADV_WILLNEED, begin, size)
