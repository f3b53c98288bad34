"""What a page says once: warnings of one kind in one line, places without where this machine keeps them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NUMBER = re.compile(r"\d[\d,.]*\d|\d")


@dataclass(frozen=True)
class Summary:
    """A line, and the warnings that it stands for where these are several."""

    text: str
    each: tuple[str, ...] = ()


def summarised(cautions: Sequence[str], names: Sequence[str]) -> list[Summary]:
    """Return cautions in their order, those that differ in side or number alone as one line.

    Args:
        names: of the sides, with which a caution of one side begins.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for caution in cautions:
        kinds[_NUMBER.sub("#", _said(caution, names))].append(caution)
    return [_summary(own, names) for own in kinds.values()]


def short_places(places: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the names of files or run directories: as much of the end of their paths as tells all apart."""
    parts = {place: Path(place).absolute().parts[1:] for own in places for place in own}

    def end(place: str) -> str:
        rivals = [other for other in parts.values() if other != parts[place]]
        for count in range(1, len(parts[place])):
            tail = parts[place][-count:]
            if all(other[-count:] != tail for other in rivals):
                return "/".join(tail)
        return "/".join(parts[place])

    return [tuple(map(end, own)) for own in places]


def _said(caution: str, names: Sequence[str]) -> str:
    """What a caution says of the side that it begins with."""
    for name in sorted(names, key=len, reverse=True):
        for mark in (": ", " "):
            if caution.startswith(name + mark):
                return caution.removeprefix(name + mark)
    return caution


def _summary(own: Sequence[str], names: Sequence[str]) -> Summary:
    if len(own) == 1:
        return Summary(own[0])
    said = [_said(caution, names) for caution in own]
    text = said[0] if len(set(said)) == 1 else _NUMBER.sub("\N{HORIZONTAL ELLIPSIS}", said[0])
    return Summary(f"{len(own)} times: {text}", tuple(own))
