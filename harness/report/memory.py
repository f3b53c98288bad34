"""Costly statistics of recorded runs, computed once: kept by what the runs are and by the code that computes.

All that is kept is one file, which can be deleted at any time. Where it cannot be read or written nothing is kept.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.io.digests import digest, file_digest
from harness.tracking.tracker import TrackedRun

NAME = "statistics.db"
# The file begins anew when it is larger than this; a board of 80 rows takes about 2 MB.
MOST = 256 << 20


def remembered(
    cache: Path | None, code: Iterable[ModuleType], runs: Sequence[TrackedRun], compute: Callable[[], Any]
) -> Any:
    """Return what `compute` returned for these runs and this code, in JSON's types; computed if it is not kept.

    Args:
        cache: the directory of the file; None: always compute.
        code: the modules whose text decides the result.
    """
    return looked_up(cache, _key(code, runs) if cache else "", compute)


def looked_up(cache: Path | None, key: str, compute: Callable[[], Any]) -> Any:
    """Return what `compute` returned under a key that says everything it depends on, like `remembered`.

    Without a key, or a directory, it is always computed.
    """
    if cache is None or not key:
        return compute()
    with contextlib.suppress(ValueError):
        if (kept := _kept(cache, key)) is not None:
            return json.loads(kept)
    text = json.dumps(compute())
    with contextlib.suppress(sqlite3.Error, OSError), _open(cache / NAME) as connection:
        connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, text))
    return json.loads(text)


def known(cache: Path | None, code: Iterable[ModuleType], runs: Sequence[TrackedRun]) -> bool:
    """Return whether `remembered` has what it was asked for before."""
    return cache is not None and _kept(cache, _key(code, runs)) is not None


def text_key(code: Iterable[ModuleType], *words: str) -> str:
    """Return a key for `looked_up` of what these modules compute of what the words say."""
    return digest(*map(_text_of, code), *words)


def _key(code: Iterable[ModuleType], runs: Sequence[TrackedRun]) -> str:
    return text_key(code, *(run.content or run.mlflow_id for run in runs))


def _kept(place: Path, key: str) -> str | None:
    with contextlib.suppress(sqlite3.Error, OSError):
        for (found,) in _open(place / NAME).execute("SELECT value FROM kept WHERE key = ?", (key,)):
            return str(found)
    return None


@cache
def _text_of(module: ModuleType) -> str:
    return file_digest(Path(str(module.__file__)))


@cache
def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > MOST:
            path.unlink()
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
    try:
        # What a crash of the machine takes away is computed again.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
    except sqlite3.DatabaseError as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError):  # damaged
            path.unlink(missing_ok=True)
        raise
    return connection
