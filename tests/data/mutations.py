"""Slips in lists and annotations, drawn at random: what changes, and whether the import must refuse it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

# A mutation gets the lines of a file and a row to change, and returns the file's new bytes.
Mutation = Callable[[list[str], int, Random], bytes]


def text(lines: Sequence[str]) -> bytes:
    """UTF-8 with a line end after each line."""
    return "".join(f"{line}\n" for line in lines).encode()


def row(change: Callable[[str, Random], str]) -> Mutation:
    """Change one line."""

    def mutate(lines: list[str], at: int, rng: Random) -> bytes:
        return text([*lines[:at], change(lines[at], rng), *lines[at + 1 :]])

    return mutate


def field(place: int | str, *values: str) -> Mutation:
    """Put one of `values` in place of a field: its index, or `number` for any positive number of the line."""

    def change(line: str, rng: Random) -> str:
        separator = "," if "," in line else " "
        words = line.split(separator) if separator == "," else line.split()
        numbers = [i for i, word in enumerate(words) if i and word.isdecimal() and int(word) > 8]
        words[rng.choice(numbers) if place == "number" else int(place)] = rng.choice(values)
        return separator.join(words)

    return row(change)


def _reversed(line: str, rng: Random) -> str:
    """Swap the last start and end of the line."""
    separator = "," if "," in line else " "
    words = line.split(separator) if separator == "," else line.split()
    numbers = [i for i, word in enumerate(words) if i and word.isdecimal()]
    start, end = next((a, b) for a, b in zip(numbers[::-1][1:], numbers[::-1], strict=False) if b == a + 1)
    words[start], words[end] = words[end], words[start]
    return separator.join(words)


# Right all the same: the result must not change.
HARMLESS: dict[str, Mutation] = {
    "byte-order mark": lambda lines, at, rng: b"\xef\xbb\xbf" + text(lines),
    "CRLF": lambda lines, at, rng: text(lines).replace(b"\n", b"\r\n"),
    "CR": lambda lines, at, rng: text(lines).replace(b"\n", b"\r"),
    "no last line end": lambda lines, at, rng: text(lines)[:-1],
    "empty line": lambda lines, at, rng: text([*lines[:at], "", *lines[at:]]),
    "blanks at the end": row(lambda line, rng: line + "  "),
}


def _encoded(lines: list[str], at: int, rng: Random) -> bytes:
    """Another encoding than UTF-8, or a null byte."""
    cut = len(text(lines[:at])) + 3
    whole = text(lines)
    damaged = whole[:cut] + b"\0" + whole[cut:], whole[:cut] + b"caf\xe9" + whole[cut:]
    return rng.choice([*damaged, whole.decode().encode("utf-16"), whole.decode().encode("utf-16-le")])


ENCODING: dict[str, Mutation] = {"encoding": _encoded}
LIST: dict[str, Mutation] = {
    **ENCODING,
    "duplicate": lambda lines, at, rng: text([*lines, lines[at]]),
    "row missing": lambda lines, at, rng: text([*lines[:at], *lines[at + 1 :]]),
    "cut in the name": row(lambda line, rng: line.replace(".npy", "").replace(".mp4", "")[:-3] + "9.npy"),
    "leaves the root": row(lambda line, rng: "../" + line),
    "fields too many": row(lambda line, rng: line + (",x" if "," in line else " a b c d e")),
}
CSV: dict[str, Mutation] = {
    "label missing": row(lambda line, rng: line.partition(",")[0]),
    "label empty": row(lambda line, rng: line.partition(",")[0] + ","),
    "label unknown": field(1, "Abusing", "abuse", "7", "-1", "nan"),
    "label of another": row(lambda line, rng: line.partition(",")[0] + (",Normal" if "Abuse" in line else ",Abuse")),
    "open quote": row(lambda line, rng: '"' + line),
    "no header": lambda lines, at, rng: text(lines[1:]),
    "header twice": lambda lines, at, rng: text(["path,label,path", *lines[1:]]),
}
NUMBERS: dict[str, Mutation] = {
    "huge": field("number", "99999999", "1" + "0" * 30, "9" * 5000),
    "no number": field("number", "forty", "1e3", "40.5", "1_000", "٤٠", "4²", "0x10", "+5", "nan", "--4"),
    "negative": field("number", "-5", "-400"),
}
INTERVALS: dict[str, Mutation] = {
    **ENCODING,
    "duplicate": lambda lines, at, rng: text([*lines, lines[at]]),
    **NUMBERS,
    "field missing": row(lambda line, rng: line.rstrip().rpartition("," if "," in line else " ")[0]),
    "field too many": row(lambda line, rng: line.rstrip() + (",7" if "," in line else " 7")),
    "video unknown": row(lambda line, rng: re.sub(r"^(\S*/)?", r"\1X", line, count=1)),
    "reversed": row(_reversed),
}
