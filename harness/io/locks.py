"""Locks between processes: the file system's own, or where it has none a file that only one of them can make.

The library `filelock` (4.2) has both, but a process that dies after it has made the file of its `SoftFileLease` and
before it has written into it leaves an empty one, which no other ever takes away; here a dead process holds nothing.
Its native lock asks again and again where the kernel's wakes who waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.io.atomic import unwritable
from harness.io.heartbeat import Heart, Watch

# What the kernel says of a directory, such as one of a network, that has no locks.
_WITHOUT = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
# Seconds after which a file that is not touched any more belongs to nobody.
DEAD_AFTER = 60.0


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file: one process at a time; a process that dies gives it back.

    Raises:
        Unwritable: the file cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        try:
            locked = _locked(handle)
        except OSError as error:
            raise unwritable(lock, error) from error
        with contextlib.nullcontext() if locked else _held(lock.with_name(f"{lock.name}.held")):
            yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Wait until the kernel's lock of an open file is ours; False where there are none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
        return False
    return True


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a file that exists as long as its owner has the lock, and is touched while its owner lives."""
    watch = Watch()
    while not _made(path):
        with contextlib.suppress(FileNotFoundError):
            seen = path.stat().st_ino
            if watch.idle(path) > DEAD_AFTER:
                _take_away(path, seen)
        time.sleep(0.02)
    try:
        with Heart(partial(os.utime, path), DEAD_AFTER / 6):
            yield
    finally:
        path.unlink(missing_ok=True)


def _made(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    except OSError as error:
        raise unwritable(path, error) from error
    return True


def _take_away(path: Path, seen: int) -> None:
    """Remove a dead owner's file, of several processes that found it dead once."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    os.rename(path, aside)
    if aside.stat().st_ino != seen:  # somebody was faster, and this is a new owner's
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()
