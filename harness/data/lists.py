"""The community's csv lists (`path,label`), and where the files they name lie on this machine."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import UserError


@dataclass(frozen=True)
class ListedFile:
    """One row of a list: where it stands (`file:line`, for errors), the path as written, the label as written."""

    where: str
    path: str
    label: str


def read_text(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, with or without byte-order mark, with any line ends.

    Raises:
        UserError: the file is missing or not UTF-8; the text names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error


def read_table(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (`file:line`, row) of a csv file that has at least `columns`.

    Raises:
        UserError: a column is missing or a row is short.
    """
    reader = csv.DictReader(read_text(path), restval="")
    header = reader.fieldnames or []
    missing = [column for column in columns if column not in header]
    if missing:
        found = ",".join(header)[:80] or "nothing"
        raise UserError(f"{path}:1: no column {missing[0]!r}; expected the header {','.join(columns)}, found {found}")
    for row in _rows(path, reader):
        where = f"{path}:{reader.line_num}"
        for column in columns:
            if not row[column].strip():
                raise UserError(f"{where}: field {column!r} is empty")
        yield where, {column: row[column].strip() for column in columns}


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not a csv line ({error})") from error


def read_list(path: Path) -> list[ListedFile]:
    """Return the rows of a list with the columns `path` and `label`.

    Raises:
        UserError: the file is missing, a column is missing, or it has no rows.
    """
    rows = [ListedFile(where, row["path"], row["label"]) for where, row in read_table(path, ("path", "label"))]
    if not rows:
        raise UserError(f"{path}: the list is empty")
    return rows


def find_input(root: Path, name: str) -> Path:
    """Return the list or annotation file (or directory) `name` in root, root/list or root/lists.

    Raises:
        UserError: there is none.
    """
    for folder in (root, root / "list", root / "lists"):
        if (folder / name).exists():
            return folder / name
    raise UserError(f"{root}: no {name} here (nor in list/ or lists/); the card expects it under --root")


class FeatureFiles:
    """All .npy files under a root, found again by paths that were written on another machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known = {path.relative_to(root).as_posix() for path in _arrays_under(root)}
        self._by_name: dict[str, list[str]] = {}
        for path in sorted(self._known):
            self._by_name.setdefault(PurePosixPath(path).name, []).append(path)

    def find(self, listed: ListedFile) -> Path | None:
        """Return the file, None if it is missing.

        Tried are the path below the root, then without its first folders, then the file name alone.

        Raises:
            UserError: the path leaves the root by `..`, or several files have its name.
        """
        parts = [part for part in re.split(r"[/\\]", listed.path) if part not in ("", ".")]
        if ".." in parts:
            raise UserError(f"{listed.where}: path {listed.path!r} leaves the root directory; write it without ..")
        for first in range(len(parts)):
            candidate = "/".join(parts[first:])
            if candidate in self._known:
                return self.root / candidate
        same_name = self._by_name.get(parts[-1], []) if parts else []
        if len(same_name) > 1:
            raise UserError(f"{listed.where}: {parts[-1]} is there twice, {same_name[0]} and {same_name[1]}; keep one")
        return self.root / same_name[0] if same_name else None


def _arrays_under(root: Path) -> Iterator[Path]:
    """Yield every .npy file; linked folders count, because features often lie on another disk."""
    visited = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            inner.clear()  # a link to a folder that has been listed, perhaps one around it
            continue
        visited.add(real)
        yield from (Path(folder, name) for name in names if name.endswith(".npy"))


def split_name(path: str, crop_suffix: bool) -> tuple[str, int]:
    """Return (video, crop) of a feature file's path: `Abuse001_x264__3.npy` is crop 3 of Abuse001_x264.

    Raises:
        UserError: `crop_suffix` is set and the name does not end in `__k`.
    """
    name = re.split(r"[/\\]", path)[-1]
    stem = name.removesuffix(".npy")
    if not crop_suffix:
        return stem, 0
    match = re.fullmatch(r"(.+)__([0-9]+)", stem)
    if match is None:
        raise UserError(f"{name} is no crop of a video; the card expects names that end in __k.npy")
    return match[1], int(match[2])
