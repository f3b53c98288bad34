"""The same function of many things, on all cores of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from harness.io.spawning import ended_with_parent, without_main

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")
# A process takes about half a second to start; what is done sooner is done here. More of them find little to do.
FEW, MOST = 32, 8


def each(function: Callable[[_Thing], _Result], things: Sequence[_Thing]) -> list[_Result]:
    """Return `function` of every thing, in their order; it and they must be what another process can be sent."""
    return begun(function, things)()


def begun(function: Callable[[_Thing], _Result], things: Sequence[_Thing]) -> Callable[[], list[_Result]]:
    """Begin to compute what `each` returns, and return what waits for it: meanwhile there may be other work.

    Of few things it is computed before this returns.
    """
    if len(things) < FEW or _cores() < 2 or multiprocessing.parent_process() is not None:
        found = list(map(function, things))
        return lambda: found
    try:
        coming = _pool().map(function, things, chunksize=4)
    except (BrokenProcessPool, OSError):
        return lambda: _alone(function, things)

    def results() -> list[_Result]:
        try:
            return list(coming)
        except (BrokenProcessPool, OSError):
            return _alone(function, things)

    return results


def _alone(function: Callable[[_Thing], _Result], things: Sequence[_Thing]) -> list[_Result]:
    """The same here, where there was no memory or no room for processes."""
    _pool.cache_clear()
    return list(map(function, things))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ProcessPoolExecutor:
    """One process per core, each with one thread: what a process computes with is read as it starts."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        workers, before_us = min(_cores(), MOST), multiprocessing.active_children()
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), ended_with_parent)
        with without_main():
            list(pool.map(abs, range(workers)))
        ours = [child for child in multiprocessing.active_children() if child not in before_us]
        threading.Thread(target=_end_together, args=(ours,), daemon=True).start()
        return pool
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _end_together(processes: Sequence[BaseProcess]) -> None:
    """Once one process of a pool has ended, end the others; none has anything to lose by then.

    One that is killed while it waits for work takes the lock of the queue with it. The pool notices that as long as it
    works; when it is about to end, it would wait for the others for ever, and they for the lock.
    """
    wait([process.sentinel for process in processes])
    for process in processes:
        process.kill()
