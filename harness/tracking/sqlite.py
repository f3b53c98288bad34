"""MLflow's SQLite file without MLflow: its address, reading it without leaving a trace, and what a move changes.

MLflow takes seconds to import and makes an object of everything it reads, writes to a file that it opens, and notes
where artifacts lie by their absolute paths. Its own interface stays the only one that writes runs; what is read here
is the same, see `tests/tracking/test_sqlite.py`.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote, urlparse

from harness.errors import UserError
from harness.tracking.format import Stored

T = TypeVar("T")
# What a URI reads as something else than a letter of a path.
_QUOTED = frozenset("?%")
# The folder of artifacts below the directory of runs.
ARTIFACTS = "mlartifacts"
# Where MLflow notes the places of files, beside those of experiments.
_PLACES = (("runs", "run_uuid", "artifact_uri"), ("logged_models", "model_id", "artifact_location"))
# Looks at a file that somebody writes meanwhile.
_LOOKS = 5


def sqlite_uri(path: Path) -> str:
    """Return the URI under which MLflow opens the SQLite file `path` and nothing else.

    Raises:
        UserError: the installed SQLAlchemy has no way to write such a path.
    """
    plain = f"sqlite:///{path}"
    if sqlite_file(plain) == path:
        return plain
    # Slashes too, from the first folder that needs it: MLflow makes the folder that the text of a URI names.
    odd = next(index for index, part in enumerate(path.parts) if set(part) & _QUOTED)
    uri = f"sqlite:///{Path(*path.parts[:odd])}/{quote('/'.join(path.parts[odd:]), safe='')}"
    if sqlite_file(uri) != path:
        raise UserError(f"{path}: this SQLAlchemy opens no path with {' or '.join(sorted(_QUOTED))}; choose another")
    return uri


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store, None for a store of another kind."""
    if not uri.startswith("sqlite:///"):
        return None
    if not set(uri) & _QUOTED:
        return Path(uri.removeprefix("sqlite:///"))
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or ":memory:")


def stored(
    path: Path, status: str, tags: Collection[str], experiments: Collection[str] | None, whole: bool = True
) -> list[Stored]:
    """Return what MLflow's search gives of the runs in a file that end in `status` and carry the first of `tags`.

    Of their tags those that begin with one of `tags` are read, of their metrics those of no epoch; without `whole`
    neither metrics nor params.

    Raises:
        sqlite3.Error: it is not such a file.
    """
    first = next(iter(tags))
    chosen = (
        "runs r JOIN experiments e USING (experiment_id) JOIN tags mark ON mark.run_uuid = r.run_uuid "
        "WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' AND r.status = ? "
        "AND mark.key = ? AND mark.value != ''"
    )
    begins = " OR ".join("substr(t.key, 1, ?) = ?" for _ in tags)

    def look(connection: sqlite3.Connection) -> list[Stored]:
        runs = connection.execute(
            f"SELECT r.run_uuid, e.name, r.artifact_uri, r.start_time, r.end_time FROM {chosen}", (status, first)
        )
        found = [run for run in runs if experiments is None or run[1] in experiments]
        if not found:  # the rest of a large store need not be read
            return []
        wanted = {run[0] for run in found}
        labels: dict[str, dict[str, str]] = defaultdict(dict)
        starts = [value for tag in tags for value in (len(tag), tag)]
        for run, key, value in connection.execute(
            f"SELECT t.run_uuid, t.key, t.value FROM tags t WHERE {begins}", starts
        ):
            if run in wanted:
                labels[run][key] = value
        numbers: dict[str, dict[str, float]] = defaultdict(dict)
        fields: dict[str, dict[str, str]] = defaultdict(dict)
        if whole:
            final = "instr(key, '/') = 0 OR key LIKE 'class_auc/%' OR key LIKE 'cost/%'"
            points = connection.execute(f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE {final}")
            for run, key, value, is_nan in points:
                if run in wanted:
                    numbers[run][key] = math.nan if is_nan else value
            for run, key, value in connection.execute("SELECT run_uuid, key, value FROM params"):
                if run in wanted:
                    fields[run][key] = value
        return [
            Stored(run, name, uri, started, ended or 0, labels[run], numbers[run], fields[run])
            for run, name, uri, started, ended in found
        ]

    return read(path, look)


def read(path: Path, look: Callable[[sqlite3.Connection], T]) -> T:
    """Return what `look` makes of a database, which is left as it is: nothing is made beside it, nothing locked.

    Works where nothing can be written, too.

    Raises:
        sqlite3.Error: it is no database.
    """
    for _ in range(_LOOKS):
        before = _state(path)
        if len(before) > 1:
            break
        # Nobody writes: SQLite needs none of the files that it makes where somebody may.
        try:
            found = _looked(path, "mode=ro&immutable=1", look)
        except sqlite3.DatabaseError:
            if _state(path) == before:
                raise
        else:
            if _state(path) == before:
                return found
    try:
        return _looked(path, "mode=ro", look)
    except sqlite3.OperationalError:
        # Of a killed writer, where SQLite may not set right what it left: in a copy it may.
        with tempfile.TemporaryDirectory() as scratch:
            for file in _files(path):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(file, Path(scratch) / file.name)
            return _looked(Path(scratch) / path.name, "mode=rw", look)


def _looked(path: Path, mode: str, look: Callable[[sqlite3.Connection], T]) -> T:
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=30)) as connection:
        connection.execute("BEGIN")  # everything that is read is of one moment
        return look(connection)


def _files(path: Path) -> tuple[Path, ...]:
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")


def _state(path: Path) -> list[tuple[int, int, int]]:
    """What changes when somebody writes; more than one entry while somebody may."""
    found = []
    for file in _files(path):
        with contextlib.suppress(FileNotFoundError):
            state = file.stat()
            found.append((state.st_ino, state.st_size, state.st_mtime_ns))
    return found


def rebase(path: Path, out: Path) -> None:
    """Let a store that was moved or copied, with the artifacts beside it, write and name them where they are now.

    MLflow makes absolute paths of all that it is given, so that the places it noted are those of an earlier `out`. A
    store that lies elsewhere than its artifacts keeps them, as long as they are there.

    Raises:
        sqlite3.Error: the file cannot be read or written.
    """

    def places(connection: sqlite3.Connection) -> list[tuple[str, str]]:
        rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
        return [(str(number), place) for number, place in rows if place and _moved(place, path, out)]

    if not (moved := read(path, places)):
        return
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        for number, place in moved:
            change = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
            connection.execute(change, (_rebased(place, out), number))
            for table, key, column in _PLACES:
                rows = connection.execute(f"SELECT {key}, {column} FROM {table} WHERE experiment_id = ?", (number,))
                for name, uri in rows.fetchall():
                    # One whose files were left behind is still found there.
                    if (rest := below(uri or "")) and (out / rest).is_dir():
                        change = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
                        connection.execute(change, (_rebased(uri, out), name))


def below(uri: str) -> Path | None:
    """Return where an artifact lies below the directory of runs it was written to, None if it was not into one."""
    if not uri.startswith(("file:", "/")):
        return None
    plain = unquote(urlparse(uri).path) if uri.startswith("file:") else uri
    _, found, rest = plain.rpartition(f"/{ARTIFACTS}/")
    return Path(ARTIFACTS, rest) if found else None


def _moved(uri: str, path: Path, out: Path) -> bool:
    """Whether a place that the store in `path` noted should be one of `out`."""
    if (rest := below(uri)) is None or _rebased(uri, out) == uri:
        return False
    elsewhere = Path(unquote(urlparse(uri).path)).parents[len(rest.parts) - 2]
    return path.absolute().parent == out or not elsewhere.is_dir()


def _rebased(uri: str, out: Path) -> str:
    root = (out / ARTIFACTS).as_uri() if uri.startswith("file:") else str(out / ARTIFACTS)
    return f"{root}/{uri.rpartition(f'/{ARTIFACTS}/')[2]}"
