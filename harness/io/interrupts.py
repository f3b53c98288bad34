"""Ctrl-C at a moment that suits."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Hold back Ctrl-C meanwhile, also from a process that starts: one is not ready for it before it has started."""
    masked = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masked else set()
    # A mask is one thread's: another thread may take the signal, and Python would hand it to the main one.
    missed: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: missed.append(number)) if main else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if missed:
            signal.raise_signal(signal.SIGINT)
