"""Large files that were hashed once are known again by what the file system says of them.

Hashing gigabytes at every start would cost more than many a run. A seal says which hash a file had, when that was
looked at, and what the file system said of it then: size, times of change, inode and device. Where it still says the
same, nothing is read; where it does not, or after some days, the file is hashed in full. A tool can set the time of
the last modification, but not that of the last change of the inode. A seal that is missing, damaged or of another
machine only costs a hash.

What it cannot notice is a disk that returns other bytes for a file that nobody wrote to; hence the days, and
`harness run --verify`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.io.atomic import read_json, write_json
from harness.io.digests import digest, file_digest, intact, signed
from harness.paths import seal_dirs

# Nanoseconds after which a file is hashed again, whatever the file system says.
AGE = 7 * 86_400 * 10**9
# Two changes within one tick of the file system's clock look like one: what changed just now is not sealed.
SETTLED = 2 * 10**7
# Bytes below which hashing takes no longer than looking for a seal is worth.
SMALL = 1 << 20


@dataclass(frozen=True)
class _Look:
    """What the file system says of a file."""

    size: int
    modified: int
    changed: int
    inode: int
    device: int


# Seals of this process, for where none can be written.
_known: dict[Path, dict[str, Any]] = {}


def holds(path: Path, sha256: str, full: bool = False) -> bool:
    """Return whether a file has this hash, by its seal if it has a valid one; with `full` by hashing it.

    Raises:
        OSError: it cannot be read.
    """
    place = path.resolve()
    look = _look(place)
    if not full and look.size >= SMALL and any(_valid(document, place, look, sha256) for document in _documents(place)):
        return True
    began = time.time_ns()
    if file_digest(place) != sha256:
        return False
    if _look(place) == look:
        _keep(place, look, sha256, began)
    return True


def seal(path: Path, sha256: str) -> None:
    """Seal a file that its only writer has just written and hashed; does nothing where that is not possible."""
    with contextlib.suppress(OSError):
        place = path.resolve()
        look = _look(place)
        if look.size >= SMALL:
            time.sleep(min(max(look.changed + SETTLED - time.time_ns(), 0), SETTLED) / 1e9)
        _keep(place, look, sha256, time.time_ns())


def _look(path: Path) -> _Look:
    found = os.stat(path)
    return _Look(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


def _valid(document: Any, path: Path, look: _Look, sha256: str) -> bool:
    if not isinstance(document, dict) or not intact(document) or not isinstance(document.get("checked"), int):
        return False
    said = {"path": str(path), "sha256": sha256, **asdict(look)}
    return {name: document.get(name) for name in said} == said and 0 <= time.time_ns() - document["checked"] <= AGE


def _documents(path: Path) -> Iterator[Any]:
    if path in _known:
        yield _known[path]
    for directory in seal_dirs():
        with contextlib.suppress(HarnessError):  # none, or no JSON any more
            yield read_json(directory / _name(path))


def _keep(path: Path, look: _Look, sha256: str, checked: int) -> None:
    if look.size < SMALL or checked - look.changed < SETTLED:
        return
    document = signed({"path": str(path), "sha256": sha256, "checked": checked, **asdict(look)})
    _known[path] = document
    for directory in seal_dirs():
        with contextlib.suppress(HarnessError, OSError):
            write_json(directory / _name(path), document)
            return


def _name(path: Path) -> str:
    # Machines that share a directory see other numbers of inodes and devices.
    return f"{digest(socket.gethostname(), os.fsencode(path))[:32]}.json"
