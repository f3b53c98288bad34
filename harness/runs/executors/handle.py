"""One worker process as its parent holds it: started at the head of a group, and ended with all that it started."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.io.interrupts import without_interrupts
from harness.io.spawning import without_main
from harness.runs.executors.death import cause, kills
from harness.runs.executors.worker import serve

if TYPE_CHECKING:
    from harness.runs.order import Order

# In the environment of a worker and of all that it starts, wherever that goes.
MARK = "HARNESS_WORKER"
_ROUNDS = 5
# Seconds that a process may take to start; on a busy machine its imports take many.
STARTING = 120.0

Message = dict[str, Any]


class Worker:
    """A process that computes one order after another; `settings` go into its environment."""

    def __init__(self, slot: int, settings: dict[str, str]) -> None:
        self.slot = slot
        self.settings = settings
        self.order: Order | None = None
        self.since = 0.0
        self.stopped = False
        self._mark = secrets.token_hex(16)
        self._kills: int | None = None
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), name=f"harness worker {slot}")
        resource_tracker.ensure_running()  # it is ours, and must not carry the worker's mark
        with _environment({**settings, MARK: self._mark}), without_interrupts(), without_main():
            self.process.start()
        theirs.close()
        self._exit = _death_of(self.process.pid)

    @property
    def pid(self) -> int:
        """Its process number."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def signs(self) -> list[Any]:
        """What becomes readable when it says something or ends."""
        return [self._pipe, *([self._exit] if self._exit is not None else [])]

    def give(self, order: Order) -> bool:
        """Let it compute an order; False if it died while idle."""
        if self.dead:  # a child of it may still hold the pipe open
            return False
        self._kills = kills()
        try:
            self._pipe.send(order.placed())
        except OSError:
            return False
        # A process that still has to start may take this much longer.
        self.order, self.since, self.stopped = order, time.monotonic() + STARTING, False
        return True

    def begin(self) -> None:
        """It says that its run starts: from now on seconds count."""
        self.since = min(self.since, time.monotonic())

    def answer(self, value: float | None, problem: str = "") -> None:
        """Answer what it asked; one that died meanwhile is noticed elsewhere."""
        with contextlib.suppress(OSError):
            self._pipe.send((value, problem))

    def heard(self) -> Iterator[Message | None]:
        """Yield what it has said; None, as the last, if it can say no more."""
        # Asked first: what it said before it died is still in the pipe.
        dead = self.dead
        try:
            while self._pipe.poll():
                yield _read(self._pipe.recv_bytes())
        except (EOFError, OSError):
            dead = True
        if dead:
            yield None

    @property
    def dead(self) -> bool:
        """Whether the process has ended, whatever children of it still hold."""
        if not hasattr(os, "waitid"):
            return self.process.exitcode is not None
        try:
            # It keeps its number until it is reaped, so that its group can still be ended by it.
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def end(self) -> str:
        """End it with all that it started; return in words why it ended, if nobody here had ended it."""
        deadline = time.monotonic() + 0.2
        while not self.dead and time.monotonic() < deadline and self._hung_up():
            time.sleep(0.01)
        by_itself = self.dead
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Before it is reaped, its number is nobody else's.
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
            os.kill(self.pid, signal.SIGKILL)
        _end_marked(self._mark)
        self.process.join()
        self._pipe.close()
        if self._exit is not None:
            os.close(self._exit)
            self._exit = None
        if not by_itself:
            return "its process closed the connection to its parent; it was killed"
        return cause(self.process.exitcode, self._kills, kills())

    def _hung_up(self) -> bool:
        try:
            return self._pipe.poll() and not self._pipe.recv_bytes()
        except (EOFError, OSError):
            return True


def _read(content: bytes) -> Message:
    """What a worker sent, read as text, which cannot become code here; {} where it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """What a process that starts meanwhile inherits."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _death_of(pid: int | None) -> int | None:
    """A handle that is readable once the process has ended; None where the system has none such."""
    if pid is None or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _end_marked(mark: str) -> None:
    """Kill the processes with this mark in their environment: also those that left their group."""
    wanted = f"{MARK}={mark}".encode()
    for _ in range(_ROUNDS):  # one may start another while it is looked for
        found = False
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    found = True
        if not found:
            return
