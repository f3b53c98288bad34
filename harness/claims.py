"""Claims on runs, so that two commands beside each other never compute the same one.

A claim is a small file that its owner touches every few seconds. It is dead when its process is gone (same machine)
or when it has not been touched for long (another machine, a suspended one); whoever comes next takes it over.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import UserError
from harness.files import alone, read_json, write_text

# A claim that was not touched for this long belongs to nobody.
DEAD_AFTER = 60.0


class Claims:
    """The claims of this process in one directory; a context manager that gives all of them back."""

    def __init__(self, directory: Path, dead_after: float = DEAD_AFTER) -> None:
        self._directory = directory
        self._dead_after = dead_after
        self._held: set[str] = set()
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="claims", daemon=True)
        self._me = {"host": _machine(), "pid": os.getpid(), "born": _born(os.getpid())}

    def __enter__(self) -> Claims:
        self._pulse.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pulse.join()
        for run in list(self._held):
            self.release(run)

    def take(self, run: str) -> bool:
        """Claim a run; False if somebody alive holds it.

        Raises:
            Unwritable: the directory cannot be written.
        """
        path = self._directory / run
        with alone(self._directory / ".lock"):
            if self._alive(path):
                return False
            write_text(path, json.dumps(self._me))
            self._held.add(run)
        return True

    def release(self, run: str) -> None:
        """Give a claim back."""
        self._held.discard(run)
        path = self._directory / run
        with alone(self._directory / ".lock"):
            if _owner(path) == self._me:
                path.unlink(missing_ok=True)

    def _alive(self, path: Path) -> bool:
        owner = _owner(path)
        try:
            idle = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            return False
        if owner is None or idle > self._dead_after:
            return False
        return bool(owner["host"] != self._me["host"] or _born(owner["pid"]) == owner["born"])

    def _beat(self) -> None:
        while not self._stop.wait(self._dead_after / 6):
            for run in list(self._held):
                # A claim that somebody took over, or a full disk: the next beat may do better.
                with contextlib.suppress(OSError):
                    os.utime(self._directory / run)


def _owner(path: Path) -> dict[str, Any] | None:
    """Who holds a claim; None if there is none or the file is damaged."""
    try:
        owner = read_json(path)
    except UserError:
        return None
    return owner if isinstance(owner, dict) and owner.keys() == {"host", "pid", "born"} else None


def _machine() -> str:
    """The host and its start: process numbers mean nothing beyond either."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return socket.gethostname()


def _born(pid: int) -> str:
    """When a process started, in ticks since the machine did; "" if it is gone."""
    with contextlib.suppress(OSError, IndexError):
        # The name in parentheses may hold spaces; the start is the 20th field behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    return ""
