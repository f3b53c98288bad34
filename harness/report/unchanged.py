"""A report for which nothing has changed since it was written: known by what it was made of, and not made again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from harness.errors import UserError
from harness.io.atomic import read_json
from harness.paths import cache_dir
from harness.report.facts import file_fact
from harness.report.leaderboard.board import Leaderboard
from harness.report.notes import note_of, write_note

Found = tuple[Leaderboard, list[Path]]


def kept(key: str, directory: Path) -> Found | None:
    """Return leaderboard and files of the report in `directory` if it was made of the same and nobody touched it."""
    try:
        record = read_json(_note(directory))
        if not key or record["key"] != key:
            return None
        if any(record["files"][name] != file_fact(name, os.stat(directory / name)) for name in record["files"]):
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
        "files": {name: file_fact(name, os.stat(directory / name)) for name in names},
        "paths": [path.relative_to(directory).as_posix() for path in paths],
        "leaderboard": document,
    }
    write_note(_note(directory), json.dumps(record))


def _adapter() -> TypeAdapter[Leaderboard]:
    return TypeAdapter(Leaderboard)


def _note(directory: Path) -> Path:
    return note_of(cache_dir() / "reports", directory)
