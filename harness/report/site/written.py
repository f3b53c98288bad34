"""Pages on disk: what is new or has changed is written, what an earlier site left is removed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.io.atomic import write_text


def write_pages(directory: Path, pages: Iterable[tuple[str, str]], folders: Sequence[str]) -> set[str]:
    """Write files by address from the root and text, and return their addresses.

    Of the `folders`, which are the site's alone, files go that are no longer among them.

    Raises:
        Unwritable: the directory cannot be written.
    """
    written = set()
    for name, text in pages:
        _write(directory / name, text)
        written.add(name)
    for folder in folders:
        for path in (directory / folder).rglob("[!.]*"):
            if path.is_file() and path.relative_to(directory).as_posix() not in written:
                path.unlink(missing_ok=True)
    return written


def _write(path: Path, text: str) -> None:
    # Most pages of a growing site stay as they are.
    with contextlib.suppress(OSError):
        if path.read_bytes() == text.encode():
            return
    # Thousands of pages, and all of them can be written again: nobody waits for the disk.
    write_text(path, text, lasting=False)
