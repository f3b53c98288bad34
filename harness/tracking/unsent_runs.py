"""Finished runs on disk that a store does not have: not sent yet, or not to this one."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.errors import UserError
from harness.io.atomic import read_json
from harness.io.digests import digest
from harness.records.result import RunResult
from harness.records.run_directory import RunDirectory
from harness.tracking.format import read_run

# Where failures wait that could not be sent, below the directory of runs.
UNSENT = ".unsent"


def waiting(out: Path, known: Collection[str]) -> tuple[list[RunDirectory], list[str]]:
    """Return the finished runs below `out` whose content is not `known`, and one line for each that cannot be read."""
    found, problems = [], []
    for directory in run_directories(out):
        try:
            if digest((directory / "run.json").read_bytes()) not in known:
                found.append(read_run(directory))
        except UserError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{directory / 'run.json'}: cannot be read ({error.strerror})")
    return found, problems


def run_directories(out: Path) -> Iterator[Path]:
    """Yield the directories below `out` that hold a run, by name."""
    try:
        with os.scandir(out) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:  # there is no such directory, and who reads makes none
        return
    for name in names:
        if os.path.exists(os.path.join(out, name, "run.json")):
            yield out / name


def unsent_failures(out: Path) -> Iterator[tuple[Path, RunResult | None]]:
    """Yield the files of failures that wait below `out`; None for one of another version, which nobody can send."""
    for path in sorted((out / UNSENT).glob("*.json")):
        try:
            yield path, RunResult.model_validate(read_json(path))
        except (UserError, ValueError):
            yield path, None
