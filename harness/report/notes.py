"""What a report notes of the directory that it wrote, for the next one: a file for each of the latest directories."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.errors import HarnessError
from harness.io.atomic import write_text
from harness.io.digests import digest

# Notes of so many directories are kept.
MOST = 20


def note_of(folder: Path, directory: Path) -> Path:
    """Return the file in `folder` that holds what is noted of `directory`."""
    return folder / f"{digest(str(directory.absolute()))[:32]}.json"


def write_note(path: Path, text: str) -> None:
    """Write such a file, and let go of the oldest ones beside it; where that cannot be done nothing is noted."""
    with contextlib.suppress(HarnessError, OSError):
        write_text(path, text, lasting=False)
        for old in sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)
