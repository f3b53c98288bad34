"""Parts of a site that an earlier report wrote and that still stand, so that nobody makes or reads them again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.io.atomic import read_json
from harness.report.facts import Facts, file_fact
from harness.report.notes import note_of, write_note


class Kept:
    """The parts of the site in one directory: the key of each, see `harness.report.site.keys`, and its files.

    A part stands as long as its files are as they were left. What is kept is one file in the directory `cache`, which
    can be deleted at any time; without one, and without `facts` of what the site is made of, nothing stands.
    """

    def __init__(self, directory: Path, cache: Path | None = None, facts: Facts | None = None) -> None:
        """Read what an earlier report noted of the site in `directory`."""
        self.facts = facts if cache else None
        self._directory = directory
        self._record = note_of(cache, directory) if cache and facts else None
        self._earlier: Mapping[str, Mapping[str, str]] = {}
        self._parts: dict[str, dict[str, str]] = {}
        if self._record is not None:
            with contextlib.suppress(HarnessError):
                found = read_json(self._record)
                self._earlier = found if _is_record(found) else {}

    def files(self, key: str) -> list[str] | None:
        """Return the addresses of the files of a part that stands, None of one that is to be made."""
        noted = self._earlier.get(key) if key else None
        if noted is None or any(self._fact(name) != fact for name, fact in noted.items()):
            return None
        return list(noted)

    def note(self, key: str, files: Sequence[str]) -> None:
        """Note a part of the present site, all of whose files are on disk now; one without a key is always made."""
        if key:
            self._parts[key] = {name: self._fact(name) for name in files}

    def save(self) -> None:
        """Let the next report know the parts that were noted, and no others."""
        if self._record is None or not self._parts:
            return
        write_note(self._record, json.dumps(self._parts))

    def _fact(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return file_fact("", os.stat(os.path.join(self._directory, name)))
        return ""


def _is_record(found: object) -> bool:
    parts = found.values() if isinstance(found, dict) else [None]
    return all(isinstance(part, dict) and all(isinstance(fact, str) for fact in part.values()) for part in parts)
