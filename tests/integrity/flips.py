"""Bits flipped one at a time in a file, and what its reader makes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from harness.errors import HarnessError

# Bytes at both ends of a larger file where formats keep their headers; every one of them is tried.
ENDS = 160


@dataclass
class Found:
    """How many flips were refused, and those after which the file was read as before, as (place, bit)."""

    refused: int = 0
    same: list[tuple[int, int]] = field(default_factory=list)


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """The content with one bit turned."""
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def places(content: bytes, seed: str, most: int) -> Iterator[tuple[int, int]]:
    """Places and bits to flip: of every byte where there are at most `most`, else of both ends and of a sample."""
    rng, size = Random(seed), len(content)
    chosen = list(range(size))
    if size > most:
        inner = rng.sample(chosen, most)
        chosen = sorted({*range(ENDS), *range(size - ENDS, size), *inner})
    for place in chosen:
        yield place, rng.randrange(8)


def survey(path: Path, read: Callable[[], object], remedy: str, most: int = 400, named: Path | None = None) -> Found:
    """Flip bits of a file one at a time and read each.

    Every flip is refused with one line that names the file (or `named`) and the remedy, or reads as what was there.
    """
    whole = path.read_bytes()
    expected, found = repr(read()), Found()
    for place, bit in places(whole, path.name, most):
        path.write_bytes(flipped(whole, place, bit))
        try:
            got = repr(read())
        except HarnessError as error:
            text = str(error)
            assert str(named or path) in text, f"byte {place} bit {bit}: {text}"
            assert remedy in text, f"byte {place} bit {bit}: {text}"
            assert len(text.splitlines()) == 1
            found.refused += 1
        else:
            assert got == expected, f"byte {place} bit {bit} of {path.name} was read as something else"
            found.same.append((place, bit))
    path.write_bytes(whole)
    assert repr(read()) == expected
    return found
