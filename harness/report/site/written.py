"""Pages on disk: what is new or has changed is written, what an earlier site left is removed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.io.atomic import write_text
from harness.report.site.kept import Kept

# Address from the root, and text.
Text = tuple[str, str]


@dataclass(frozen=True)
class Part:
    """Files of a site that are made of the same: `key` says of what, "" where nobody knows; `make` makes them."""

    key: str
    make: Callable[[], Iterable[Text]]


def write_parts(directory: Path, parts: Iterable[Part], folders: Sequence[str], kept: Kept) -> set[str]:
    """Write the parts that do not stand yet, note all of them as `kept`, and return the addresses of all files.

    Raises:
        Unwritable: the directory cannot be written.
    """
    written: set[str] = set()
    for part in parts:
        files = kept.files(part.key)
        if files is None:
            files = [_write(directory, *each) for each in part.make()]
        kept.note(part.key, files)
        written.update(files)
    _tidy(directory, written, folders)
    return written


def write_pages(directory: Path, pages: Iterable[Text], folders: Sequence[str]) -> set[str]:
    """Write files by address from the root and text, and return their addresses.

    Of the `folders`, which are the site's alone, files go that are no longer among them.

    Raises:
        Unwritable: the directory cannot be written.
    """
    written = {_write(directory, *each) for each in pages}
    _tidy(directory, written, folders)
    return written


def _tidy(directory: Path, written: set[str], folders: Sequence[str]) -> None:
    for folder in folders:
        for path in (directory / folder).rglob("[!.]*"):
            if path.is_file() and path.relative_to(directory).as_posix() not in written:
                path.unlink(missing_ok=True)


def _write(directory: Path, name: str, text: str) -> str:
    path = directory / name
    # Most pages of a growing site stay as they are.
    with contextlib.suppress(OSError):
        if path.read_bytes() == text.encode():
            return name
    # Thousands of pages, and all of them can be written again: nobody waits for the disk.
    write_text(path, text, lasting=False)
    return name
