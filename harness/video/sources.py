"""Which videos are meant: files, directories of them, and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.video.decode import EXTENSIONS


@dataclass(frozen=True)
class Source:
    """A video file and the name of its features: the file's without the extension."""

    name: str
    path: Path


def find_videos(words: Sequence[str]) -> list[Source]:
    """Return the videos that words name, in the order of their names: files, directories (searched), patterns.

    Raises:
        UserError: a word names nothing, there is no video at all, or two videos have the same name.
    """
    paths: dict[str, Path] = {}
    for word in words:
        for path in _named(word):
            paths.setdefault(os.path.realpath(path), path)
    if not paths:
        raise UserError(
            f"{', '.join(words)}: no video here; expected files that end in {', '.join(EXTENSIONS[:6])}, ..."
        )
    named: dict[str, Path] = {}
    for path in paths.values():
        if path.name.startswith("."):
            raise UserError(f"{path}: a hidden file; rename it, or link to it under another name")
        if (other := named.setdefault(path.stem, path)) is not path:
            raise UserError(f"{other} and {path}: both would be called {path.stem}; rename one, or extract them apart")
    return [Source(name, named[name]) for name in sorted(named)]


def _named(word: str) -> list[Path]:
    path = Path(os.path.expanduser(word))
    if "://" in word:
        raise UserError(f"{word}: an address; expected files here, `harness detect --stream` reads cameras and streams")
    if path.is_dir():
        return sorted(file for file in _files(path) if file.suffix.lower() in EXTENSIONS)
    if path.exists():
        return [path]
    if glob.has_magic(word):
        found = sorted(Path(each) for each in glob.glob(str(path), recursive=True) if os.path.isfile(each))
        if found:
            return found
        raise UserError(f"{word}: no file has such a name")
    raise UserError(f"{word}: no such video, directory or pattern")


def _files(root: Path) -> list[Path]:
    # Hidden ones are what other systems and downloads leave beside videos.
    found = os.walk(root, followlinks=True)
    return [Path(folder, name) for folder, _, names in found for name in names if not name.startswith(".")]
