"""Processes of ours: they start without the script that started us, and end with the process that started them."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from types import ModuleType

_KILLED_WITH_PARENT = 1


def killed_with_parent(number: int) -> None:
    """Let the system kill this process once its parent, process `number`, has ended, even if that was killed.

    To the system the parent is the thread that started this process. Where the system cannot do it, a process that
    `multiprocessing` started ends itself, see `ended_with_parent`; another one goes on.
    """
    if sys.platform != "linux":
        ended_with_parent()
        return
    ctypes.CDLL(None).prctl(_KILLED_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != number:
        os._exit(1)  # it went before we asked


def ended_with_parent() -> None:
    """End this process, which `multiprocessing` started, once its parent is gone, even if that was killed.

    A process that waits for a queue would wait for ever: its siblings hold the other end as well.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Keep processes that start meanwhile from running the user's script or notebook again.

    Python imports the main module anew in every process that it spawns. Ours need nothing of it, and a script that
    calls `harness.run` at its top level would call it in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
