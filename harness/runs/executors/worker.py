"""What a worker process does: compute one order after another until its parent goes away."""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.io.heap import give_back, keep_freed
from harness.io.spawning import killed_with_parent

if TYPE_CHECKING:
    from harness.plugin.process_state import ProcessState
    from harness.runs.computation import Judge
    from harness.runs.order import Order

# Seconds between two messages about the progress of a run.
_OFTEN = 0.2
_ADOPTS_ORPHANS = 36


def serve(pipe: Connection) -> None:
    """Answer each order from `pipe` with "computed" or "failed"; before come "begin", "moved", "judge"."""
    _belong_to_parent()
    keep_freed()
    state: ProcessState | None = None
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        state = _compute(pipe, order, state)
        give_back()  # the next run may need less, or there is none


def _compute(pipe: Connection, order: Order, state: ProcessState | None) -> ProcessState:
    """Answer one order; `state` is that of the process before its first one."""
    # Imported only now: until it belongs to its parent, a process should do nothing that takes long.
    from harness.errors import Unwritable
    from harness.plugin.process_state import ProcessState
    from harness.registry import is_ours
    from harness.runs.computation import settle
    from harness.runs.executors.optimizers import without_compiler
    from harness.runs.executors.perform import Failure, perform
    from harness.runs.method_side import append_log

    _send(pipe, kind="begin")
    settle(order.spec.threads, order.spec.compiled)
    if not order.spec.compiled:
        without_compiler()
    state = state or ProcessState()
    found = perform(order, _judge(pipe, order), _teller(pipe))
    # The process of a third party's method ends with its run anyway.
    changes = state.changes() if is_ours(order.spec.method) else []
    if changes:
        with contextlib.suppress(Unwritable):  # which the parent meets when it publishes
            append_log(order.workspace, f"left its process changed, which is replaced: {', '.join(changes)}")
    if isinstance(found, Failure):
        _send(pipe, kind="failed", error=found.error, log=found.log)
    else:
        _send(pipe, kind="computed", found=found.model_dump(mode="json"), changes=changes)
    return state


def _teller(pipe: Connection) -> Any:
    last = 0.0

    def tick(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _OFTEN or done == total:
            last = now
            _send(pipe, kind="moved", done=done, total=total)

    return tick


def _judge(pipe: Connection, order: Order) -> Judge:
    """Asks the parent for the value of predictions, which it finds in the workspace."""
    from harness.errors import HarnessError
    from harness.records.predictions import Predictions
    from harness.runs.method_side import LOOK

    def judge(predictions: Predictions) -> float:
        predictions.save(order.workspace / LOOK)
        _send(pipe, kind="judge")
        value, problem = pipe.recv()
        if problem:
            raise HarnessError(problem)
        return float(value)

    return judge


def _send(pipe: Connection, **message: Any) -> None:
    pipe.send_bytes(json.dumps(message).encode())


def _belong_to_parent() -> None:
    # A group of its own, which the parent can end as a whole.
    os.setsid()
    # Ctrl-C is for the parent, which decides what it means; it was held back until here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Standard output belongs to the parent's results.
    sys.stdout.flush()
    os.dup2(2, 1)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        killed_with_parent(parent.pid)
    if sys.platform == "linux":
        # Of a child that forks and goes, the parent still sees whose it was.
        ctypes.CDLL(None).prctl(_ADOPTS_ORPHANS, 1)
        # If memory runs out, the run that asks for it goes, not the parent.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
