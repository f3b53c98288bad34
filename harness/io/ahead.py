"""Reading while what was read before is in use: a disk and a processor work at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")
# Things that are read or wait to be used beside the one in use; few, since a file may be hundreds of megabytes.
MOST = 2


def read_ahead(read: Callable[[_Thing], _Result], things: Iterable[_Thing]) -> Iterator[Future[_Result]]:
    """Yield the outcome of `read` of each thing, in order; its `result()` raises what `read` raised.

    `read` is called in other threads, of a few things at once. What was not asked for yet is dropped with the iterator.
    """
    left = iter(things)
    with ThreadPoolExecutor(MOST) as pool:
        coming = deque(pool.submit(read, thing) for thing in islice(left, MOST))
        try:
            while coming:
                yield coming.popleft()
                coming.extend(pool.submit(read, thing) for thing in islice(left, 1))
        finally:
            for each in coming:
                each.cancel()
