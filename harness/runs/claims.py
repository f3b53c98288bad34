"""Claims on runs, so that two commands beside each other never compute the same one.

A claim is a small file that its owner touches every few seconds. Where its owner's process number means something
(same host, same boot, same namespace of processes) it is dead as soon as that process is; everywhere else, as between
two containers, its heartbeat alone counts. Whoever comes next takes a dead one over.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import UserError
from harness.io.atomic import read_json, unwritable
from harness.io.heartbeat import Heart, Watch
from harness.io.locks import DEAD_AFTER, alone

_PLACE = ("host", "boot", "namespace")


class Claims:
    """The claims of this process in one directory; a context manager that gives all of them back."""

    def __init__(self, directory: Path, dead_after: float = DEAD_AFTER) -> None:
        self._directory = directory
        self._dead_after = dead_after
        self._held: set[str] = set()
        self._watch = Watch()
        self._heart = Heart(self._beat, dead_after / 6)
        self._me = _me()

    def __enter__(self) -> Claims:
        self._heart.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heart.__exit__()
        for run in list(self._held):
            self.release(run)

    def take(self, run: str) -> bool:
        """Claim a run; False if somebody alive holds it.

        Who asks again and again learns that a claim is dead when its heart has not beaten for `dead_after` seconds.

        Raises:
            Unwritable: the directory cannot be written.
        """
        path = self._directory / run
        with alone(self._directory / ".lock"):
            if self._alive(path) or not _made(path, json.dumps(self._me)):
                return False
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
        if owner is None:
            return False
        if all(owner.get(key) == self._me[key] for key in _PLACE) and not _runs(owner["pid"], owner["born"]):
            return False
        try:
            return self._watch.idle(path) <= self._dead_after
        except FileNotFoundError:
            return False

    def _beat(self) -> None:
        for run in list(self._held):
            path = self._directory / run
            if _owner(path) == self._me:  # not what somebody took over
                os.utime(path)


def _made(path: Path, text: str) -> bool:
    """Put a claim in the place of a dead one; False if somebody else just did.

    By a link, which one process alone gets even where a lock does not reach the other machines of a network.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            os.write(handle, text.encode())
            os.close(handle)
            path.unlink(missing_ok=True)
            try:
                os.link(name, path)
            except FileExistsError:
                return False
            except OSError:  # a file system without links
                os.rename(name, path)
            return True
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def _owner(path: Path) -> dict[str, Any] | None:
    """Who holds a claim; None if there is none or the file is damaged."""
    try:
        owner = read_json(path)
    except UserError:
        return None
    # Claims of earlier versions say neither boot nor namespace.
    whole = isinstance(owner, dict) and isinstance(owner.get("pid"), int) and {"host", "born"} <= owner.keys()
    return owner if whole else None


def _me() -> dict[str, Any]:
    """Who this process is: its number, when it started, and where such numbers mean it."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    place = dict(zip(_PLACE, (socket.gethostname(), boot, namespace), strict=True))
    return {**place, "pid": os.getpid(), "born": _born("self")}


def _runs(pid: int, born: str | None) -> bool:
    """Whether a process of our own namespace is there; True where only its heartbeat could tell."""
    if os.name == "nt":  # there `os.kill` does not ask, but interrupts
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    try:
        ours = os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        ours = False
    # /proc may be that of another namespace, and may hide processes of other users.
    found = _born(str(pid)) if ours else None
    return found is None or found == born


def _born(pid: str) -> str | None:
    """When a process started, in ticks since the machine did; "" if it is dead, None if that is not to be seen."""
    with contextlib.suppress(OSError, IndexError):
        # The name in parentheses may hold spaces; the start is the 20th field behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    return None
