"""Atomic writes: a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.digests import digest as digest
from harness.digests import file_digest as file_digest
from harness.errors import Unwritable, UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it is synced and renamed onto `path`.

    On any error the temporary file is removed and `path` keeps its earlier content.

    Raises:
        Unwritable: the directory cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling directory of `path`; on success it takes the place of `path`.

    Raises:
        Unwritable: the parent cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        os.chmod(temporary, 0o777 & ~_umask())
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield temporary
        publish_directory(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish_directory(source: Path, target: Path) -> None:
    """Sync every file of `source` and rename it onto `target`, replacing an earlier directory there."""
    for entry in source.rglob("*"):
        if entry.is_file():
            sync(entry)
    if target.exists():
        retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
        os.replace(target, retired / target.name)
        try:
            os.replace(source, target)
        except OSError:
            os.replace(retired / target.name, target)
            raise
        finally:
            shutil.rmtree(retired, ignore_errors=True)
    else:
        os.replace(source, target)
    sync(target.parent)


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file: one process of this machine at a time; a process that dies gives it back.

    Raises:
        Unwritable: the file cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def tidy(path: Path) -> None:
    """Remove what a killed process left beside the directory `path`; an earlier `path` that it had moved comes back.

    Only for the one process that may write `path` now.
    """
    for retired in path.parent.glob(f".{glob.escape(path.name)}.*.old"):
        if not path.exists() and (retired / path.name).is_dir():
            os.replace(retired / path.name, path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.suffix in (".old", ".tmp"):
            shutil.rmtree(left, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, again: str = "") -> Any:
    """Return the JSON document in `path`; `again` says in an error how the file is had again.

    Raises:
        UserError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file{_hint(again)}") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, too many digits
        raise UserError(f"{path}: not a readable JSON file ({error}){_hint(again)}") from error


def sync(path: Path) -> None:
    """Flush a file or directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reserved(path: Path, size: int) -> None:
    """Make a file of `size` bytes whose room on disk is taken now: a full disk must not kill a process later.

    Raises:
        Unwritable: there is no room.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> Unwritable:
    """Return the one-line error for a write that the system refused."""
    return Unwritable(f"{path}: cannot be written ({error.strerror or error}); free space or choose another directory")


def _hint(again: str) -> str:
    return f"; {again}" if again else ""


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
