"""Files that are touched while their owner lives, and how long others have seen them unchanged.

Clocks of two machines may be days apart, so no time of a file is compared with a clock: a file whose heart beats
changes between two looks, and how long it has not is measured on the clock of who looks.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Watch:
    """What this process has seen of other owners' files."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}

    def idle(self, path: Path) -> float:
        """Return the seconds for which `path` is known not to have changed; 0 at the first look.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        # By an open file: a network file system may answer a look at the name from its memory.
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
        pulse, now = (state.st_mtime_ns, state.st_ino), time.monotonic()
        if self._seen.get(path, (None, 0.0))[0] != pulse:
            self._seen[path] = (pulse, now)
        return now - self._seen[path][1]


class Heart:
    """A thread that calls `beat` every `interval` seconds while its context lasts; errors of a beat are forgiven."""

    def __init__(self, beat: Callable[[], None], interval: float) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(beat, interval), name="heart", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self, beat: Callable[[], None], interval: float) -> None:
        while not self._stop.wait(interval):
            # A full disk, or a server that does not answer: the next beat may do better.
            with contextlib.suppress(OSError):
                beat()
