"""A report for which nothing has changed since it was written: known by what it was made of, and not made again."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from harness.errors import UserError
from harness.identity.module_files import ModuleFiles
from harness.io.atomic import read_json, write_text
from harness.io.digests import digest
from harness.paths import cache_dir, cards_dir, harness_home, report_assets_dir
from harness.registry import registered_entries
from harness.report.leaderboard.board import Leaderboard
from harness.tracking.sqlite import ARTIFACTS, sqlite_file
from harness.tracking.tracker import Tracker
from harness.tracking.unsent_runs import UNSENT, run_directories
from harness.version import __version__

# Reports of so many directories are remembered.
MOST = 20
Found = tuple[Leaderboard, list[Path]]


def fingerprint(tracker: Tracker, asked: Sequence[str]) -> str:
    """Return a hash of all that a report is made of, by the files' sizes and times; "" where that says too little.

    `asked` are the words that say what it is to be: its formats, and the runs that it shows.

    These are the store, run directories and artifacts, cards, parity records, our code and that of all methods.
    """
    store = sqlite_file(tracker.uri)
    if store is None or not (tracker.out / ARTIFACTS).is_dir():
        return ""
    facts = [__version__, sys.version, str(tracker.out), tracker.uri, *asked]
    files = [*store.absolute().parent.glob(f"{store.name}*"), *(tracker.out / UNSENT).glob("*.json")]
    files += [directory / "run.json" for directory in run_directories(tracker.out)]
    for path in files:
        with contextlib.suppress(OSError):
            facts.append(_fact(str(path), path.stat()))
    for place in (tracker.out / ARTIFACTS, *_sources()):
        facts += _walked(str(place))
    facts += _walked(str(harness_home()), but=("banks", "cache", "seals"))
    return digest(*facts)


def kept(key: str, directory: Path) -> Found | None:
    """Return leaderboard and files of the report in `directory` if it was made of the same and nobody touched it."""
    try:
        record = read_json(_record(directory))
        if not key or record["key"] != key:
            return None
        if any(record["files"][name] != _fact(name, (directory / name).stat()) for name in record["files"]):
            return None
        leaderboard = _adapter().validate_python(record["leaderboard"])
        return leaderboard, [directory / name for name in record["paths"]]
    except (UserError, OSError, ValueError, KeyError, TypeError):  # none, or of another version
        return None


def keep(key: str, directory: Path, found: Found) -> None:
    """Remember a report that was just written to `directory`; the runs themselves are left out."""
    leaderboard, paths = found
    boards = [
        replace(board, rows=tuple(replace(row, members=()) for row in board.rows)) for board in leaderboard.boards
    ]
    plain = replace(leaderboard, boards=tuple(boards))
    document = json.loads(_adapter().dump_json(plain))
    if not key or _adapter().validate_python(document) != plain:  # what JSON cannot hold is not remembered
        return
    names = [path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()]
    record = {
        "key": key,
        "files": {name: _fact(name, (directory / name).stat()) for name in names},
        "paths": [path.relative_to(directory).as_posix() for path in paths],
        "leaderboard": document,
    }
    place = _record(directory)
    with contextlib.suppress(UserError, OSError):
        write_text(place, json.dumps(record), lasting=False)
        for old in sorted(place.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)


def _adapter() -> TypeAdapter[Leaderboard]:
    return TypeAdapter(Leaderboard)


def _record(directory: Path) -> Path:
    return cache_dir() / "reports" / f"{digest(str(directory.absolute()))[:32]}.json"


def _sources() -> Iterator[Path]:
    """Where the code and the texts of a report come from."""
    yield from (Path(__file__).parents[1], report_assets_dir(), cards_dir())
    entries = registered_entries()
    tops = {entry.module.partition(".")[0] for entry in entries}
    modules = ModuleFiles(tops)
    # A package of a checkout may lie outside the directory of the package above, as ours of the methods does.
    for name in sorted(tops | {entry.module.rpartition(".")[0] for entry in entries} - {""}):
        module = modules.find(name)
        if module is not None:
            yield from module.inside or (module.file or Path(),)


def _walked(place: str, but: Sequence[str] = ()) -> list[str]:
    """The facts of all files below a place, without those of caches and of the folders `but` at its top."""
    facts: list[str] = []
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                if entry.name not in (*but, "__pycache__"):
                    facts += _walked(entry.path)
            else:
                facts.append(_fact(entry.path, entry.stat()))
    return facts


def _fact(name: str, state: os.stat_result) -> str:
    return f"{name} {state.st_ino} {state.st_size} {state.st_mtime_ns}"
