"""The community's lists: csv tables with `path,label`, and plain lines with a path and perhaps a label."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.data.spelling import VIDEO, composed, last_part
from harness.errors import UserError

# No video is longer (over four days at 25 frames a second); a larger number is a slip of the pen.
MAX_FRAMES = 10_000_000
# Folders of other machines and names may have spaces: a path ends with its extension.
_LINE = re.compile(rf"(.*?\.(?:npy|txt|{VIDEO}))(?:\s+(.*))?|(\S+)(?:\s+(.*))?", re.IGNORECASE)
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}


@dataclass(frozen=True)
class ListedFile:
    """One row of a list: where it stands (`file:line`, for errors), the path as written, the label as written or ""."""

    where: str
    path: str
    label: str

    @property
    def name(self) -> str:
        """Last part of the path, whichever system wrote it."""
        return last_part(self.path)


def read_text(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, with or without byte-order mark, with any line ends, accents composed.

    Raises:
        UserError: the file is missing or not UTF-8; the text names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{number}: not UTF-8 text; save the file as UTF-8") from error
    # Only real line ends: str.splitlines would also break at form feeds and count lines as no editor does.
    lines: list[str] = re.split(r"\r\n|\n|\r", composed(text))
    for number, line in enumerate(lines, start=1):
        # Text of a two-byte encoding is valid UTF-8 with these in between.
        if "\0" in line:
            raise UserError(f"{path}:{number}: a null byte, so not UTF-8 text; save the file as UTF-8")
    return lines[:-1] if lines[-1] == "" else lines


def read_table(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...] | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (`file:line`, row) of a csv file that has at least `columns`; semicolons or tabs may stand for commas.

    Further columns are passed over. With `optional` there may be these and no others; their fields may be empty, or
    left out at the end of a row.

    Raises:
        UserError: a column is missing or not known, or a row has more or fewer fields than the header or an empty one.
    """
    lines = read_text(path)
    between = next((separator for separator in ",;\t" if lines and separator in lines[0]), ",")
    header = _fields(f"{path}:1", lines[0], between) if lines else []
    missing = [column for column in columns if column not in header]
    if missing or len(set(header)) < len(header):
        found = ",".join(header)[:80] or "nothing"
        problem = f"no column {missing[0]!r}" if missing else "a column is named twice"
        raise UserError(f"{path}:1: {problem}; expected the header {','.join(columns)}, found {found}")
    if unknown := [] if optional is None else [word for word in header if word not in (*columns, *optional)]:
        expected = f"{','.join(columns)}, perhaps with {','.join(optional or ())}"
        raise UserError(f"{path}:1: column {unknown[0]!r} is not known; expected the header {expected}")
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        fields = _fields(where, line, between)
        fields += [""] * (len(header) - len(fields)) if optional is not None else []
        row = dict(zip(header, fields, strict=False))
        for column in columns:
            if not row.get(column):
                raise UserError(f"{where}: field {column!r} is empty")
        if len(fields) != len(header):
            raise UserError(
                f"{where}: {len(fields)} fields, the header has {len(header)}; quote a field with a {_NAMES[between]}"
            )
        yield where, {column: row[column] for column in (*columns, *(optional or ())) if column in row}


def _fields(where: str, line: str, separator: str) -> list[str]:
    """Fields of one csv line. Line by line, so that a stray quote cannot swallow the lines that follow."""
    try:
        (row,) = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError) as error:
        raise UserError(f"{where}: not a csv line ({error})") from error
    return [field.strip() for field in row]


def read_list(path: Path) -> list[ListedFile]:
    """Return the rows of a list: of a `.csv` by its columns `path` and `label`, else line by line.

    Raises:
        UserError: the file is missing, a line cannot be read, or there is none.
    """
    if path.suffix.lower() == ".csv":
        rows = [ListedFile(where, row["path"], row["label"]) for where, row in read_table(path, ("path", "label"))]
    else:
        lines = enumerate(read_text(path), start=1)
        rows = [_listed(f"{path}:{number}", line.strip()) for number, line in lines if line.strip()]
    if not rows:
        raise UserError(f"{path}: the list is empty")
    return rows


def _listed(where: str, line: str) -> ListedFile:
    """A plain line: `path`, `path label`, or UMIL's `path 0 frames label` and `path frames label start end ...`."""
    match = _LINE.fullmatch(line)
    assert match is not None
    path = match[1] or match[3]
    rest = (match[2] or match[4] or "").split()
    if len(rest) <= 1:
        return ListedFile(where, path, rest[0] if rest else "")
    if len(rest) == 3 and rest[0] == "0":
        frame_number(where, rest[1])
        return ListedFile(where, path, rest[2])
    if len(rest) % 2 == 0:
        for word in (rest[0], *rest[2:]):
            frame_number(where, word)
        return ListedFile(where, path, rest[1])
    raise UserError(f"{where}: {len(rest)} fields after the path; expected `path`, `path label` or a line of UMIL's")


def frame_number(where: str, word: str) -> int:
    """Return a frame number or a count of frames as written; -1 stands for none.

    Raises:
        UserError: it is not a whole number, or larger than any video.
    """
    if not re.fullmatch(r"-?[0-9]+", word):
        raise UserError(f"{where}: {word!r} is not a whole frame number")
    if len(word) > 12 or abs(int(word)) > MAX_FRAMES:
        raise UserError(f"{where}: {word[:30]} frames are more than any video has; correct the number")
    return int(word)


def find_input(root: Path, *names: str) -> Path:
    """Return the first of the files (or directories) `names` that is in root, root/list or root/lists.

    Raises:
        UserError: there is none, or a name leaves the root.
    """
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{name}: the card names a file outside of {root}; its files must be under --root")
        for folder in (root, root / "list", root / "lists"):
            # The same letters, composed or not: systems differ in how they write an accent into a name.
            for spelling in (name, composed(name), unicodedata.normalize("NFD", name)):
                if (folder / spelling).exists():
                    return folder / spelling
    wanted = " or ".join(names)
    raise UserError(
        f"{root}: no {wanted} here (nor in list/ or lists/); the card expects it there (--root, or --annotations)"
    )
