"""How much memory a process and its children hold, as /proc tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants; of one that is gone, nothing but its number."""
    found = [pid]
    for parent in found:
        found += [child for child in children(parent) if child not in found]
    return found


def children(pid: int) -> list[int]:
    """Return the child processes of all threads of a process; none where /proc does not tell."""
    try:
        files = list((_PROC / str(pid) / "task").glob("*/children"))
        return [int(word) for file in files for word in file.read_text().split()]
    except OSError:
        return []


def held(pid: int) -> int:
    """Return the bytes of memory that a process and its descendants hold, 0 where /proc does not tell.

    Pages of mapped files do not count: the system takes them back. Pages that several of them share count once.
    """
    pids = tree(pid)
    if len(pids) == 1:
        return sum(_fields(_PROC / str(pid) / "status", "RssAnon:", "RssShmem:"))
    return sum(sum(_fields(_PROC / str(each) / "smaps_rollup", "Pss_Anon:", "Pss_Shmem:")) for each in pids)


def stopped(pid: int) -> bool:
    """Return whether a process is stopped, by SIGSTOP for example."""
    try:
        # The name in parentheses may hold spaces; the state is the first field behind it.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def _fields(path: Path, *names: str) -> Iterator[int]:
    """Bytes of lines such as "RssAnon: 4096 kB"."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, *value = line.split()
        if name in names and value:
            yield 1024 * int(value[0])
