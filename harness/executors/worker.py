"""What a worker process does: compute one order after another until its parent goes away."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from harness.errors import Unwritable
from harness.executors.perform import perform

# Seconds between two messages about the progress of a run.
_OFTEN = 0.2


def serve(pipe: Connection) -> None:
    """Answer orders from `pipe` with ("said", text), ("moved", done, total), ("ended", JSON) or ("unable", text)."""
    _belong_to_parent()
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        last = 0.0

        def tick(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _OFTEN or done == total:
                last = now
                pipe.send(("moved", done, total))

        try:
            result = perform(order, lambda text: pipe.send(("said", text)), tick)
        except Unwritable as error:
            pipe.send(("unable", str(error)))
        else:
            pipe.send(("ended", result.model_dump_json()))


def _belong_to_parent() -> None:
    # Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output belongs to the parent's results.
    sys.stdout.flush()
    os.dup2(2, 1)
    if sys.platform == "linux":
        killed_with_parent = 1
        ctypes.CDLL(None).prctl(killed_with_parent, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:
            os._exit(1)  # it went before we asked
        # If memory runs out, the run that asks for it goes, not the parent.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
