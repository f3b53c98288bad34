"""Atomic writes: a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import Unwritable, UserError


@contextlib.contextmanager
def replacing(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it is synced and renamed onto `path`.

    Unless it is to be `lasting`, nobody waits until it is on the disk. On any error the temporary file is removed and
    `path` keeps its earlier content.

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
        if lasting:
            sync(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        if lasting:
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


def write_text(path: Path, text: str, lasting: bool = True) -> None:
    """Write `text` as UTF-8, atomically; see `replacing` for `lasting`."""
    with replacing(path, lasting) as temporary:
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
    if os.name == "nt" and path.is_dir():  # Windows opens none, and flushes only what may be written
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
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


def check_room(directory: Path, spare: int = 0) -> None:
    """Raise Unwritable unless `directory`, made where it is missing, takes a file and has `spare` bytes free."""
    with replacing(directory / ".writable", lasting=False) as probe:
        probe.write_bytes(b"written")
    with contextlib.suppress(OSError):
        (directory / ".writable").unlink()
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise unwritable(directory, error) from error
    if free < spare:
        raise unwritable(directory, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def unwritable(path: Path, error: OSError) -> Unwritable:
    """Return the one-line error for a write that the system refused."""
    reason = "not a directory" if isinstance(error, FileExistsError) else error.strerror or error
    return Unwritable(f"{path}: cannot be written ({reason}); free space or choose another directory")


def _hint(again: str) -> str:
    return f"; {again}" if again else ""


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
