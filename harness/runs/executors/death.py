"""Why a worker process ended, as far as the system tells."""

from __future__ import annotations

import signal
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/vmstat")


def kills(own: Path = _OWN, root: Path = CGROUPS, machine: Path = _MACHINE) -> int | None:
    """Return how many processes the system has killed for lack of memory, None where it keeps no record.

    The record is that of this process's memory group, to which its workers belong; where the group has none, the
    machine's.
    """
    for path in (*_records(own, root), machine):
        try:
            lines = [line.split() for line in path.read_text().splitlines()]
            return next(int(words[1]) for words in lines if len(words) == 2 and words[0] == "oom_kill")
        except (OSError, StopIteration, ValueError):
            continue
    return None


def _records(own: Path, root: Path) -> list[Path]:
    """Files that may hold a memory group's record: of version 2, then of version 1."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for number, controllers, path in (line for line in lines if len(line) == 3):
        inside = path.lstrip("/")
        if (number, controllers) == ("0", ""):
            # In a container the group's own path is often not to be seen, and its files lie at the top.
            found += [root / inside / "memory.events", root / "memory.events"]
        elif "memory" in controllers.split(","):
            found += [root / "memory" / inside / "memory.oom_control", root / "memory" / "memory.oom_control"]
    return found


def cause(code: int | None, before: int | None, after: int | None) -> str:
    """Return in words why a process ended that nobody here ended.

    `code` is its exit code, minus the signal's number if a signal ended it; `before` and `after` are what `kills` said
    when it began its run and now.
    """
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    name = _signal(-code)
    if -code != signal.SIGKILL:
        return f"its process was killed by {name}"
    if before is None or after is None:
        return f"its process was killed by {name} from outside, or for lack of memory, of which no record is kept here"
    if after > before:
        return f"its process was killed by {name}: out of memory, by the system's record"
    return f"its process was killed by {name} from outside"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"
