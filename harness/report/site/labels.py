"""Names beside the points of a picture: every point has one, and none lies on another or on a point."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

# Of letters at the size that site.css gives names, in the widest of the common typefaces.
_ASCENT, _DESCENT = 11, 4
LONGEST, LINE, COLUMN = 200, 15.5, 250
# Beside a point: across, down, and which end of the text is there.
_BESIDE = ((9, 4, "start"), (-9, 4, "end"), (8, -6, "start"), (8, 15, "start"), (-8, -6, "end"), (-8, 15, "end"))
# Further away, on rings around the point, with a line that leads there.
_RING, _STEP, _RINGS, _ANGLES = 20, 9, 14, 24
_CROWD = 60

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A text on a picture, as SVG places it; `lead` are the ends of a line from its point, () where it lies beside it.

    `style` are classes of the line.
    """

    x: float
    y: float
    anchor: str
    text: str
    name: str
    lead: tuple[float, ...] = ()
    strong: bool = False
    style: str = ""


@dataclass(frozen=True)
class Named:
    """A point on a picture and its name; `strong` names are drawn so and have the first choice of places."""

    x: float
    y: float
    name: str
    strong: bool = False
    style: str = ""


def labelled(points: Sequence[Named], area: Box, lines: Sequence[Box] = ()) -> tuple[Label, ...] | None:
    """Return a label for each point, in their order, within `area`; None where there is no room for all.

    What is close to a point does without a line. `lines` are boxes that labels had better not cross.
    """
    dots = [(p.x - 6, p.y - 6, p.x + 6, p.y + 6) for p in points]
    found: dict[int, Label] = {}
    # Who stands in a crowd comes first: others still have room further out.
    crowd = [sum(math.hypot(p.x - other.x, p.y - other.y) < _CROWD for other in points) for p in points]
    texts, leads = list[Box](), list[Box]()
    for index in sorted(range(len(points)), key=lambda i: (not points[i].strong, -crowd[i], i)):
        label = _placed(points[index], area, texts, (*dots, *leads), lines)
        if label is None:
            return None
        found[index] = label
        texts.append(box(label))
        leads += _along(label.lead)
    return tuple(found[index] for index in range(len(points)))


def in_column(points: Sequence[Named], left: float, top: float, bottom: float) -> tuple[Label, ...]:
    """Return a label for each point, in their order, one below another from `left` on, with lines that lead there.

    That takes `LINE` for each between `top` and `bottom`, and `COLUMN` in width.
    """
    order = sorted(range(len(points)), key=lambda index: (points[index].y, -points[index].x))
    step = (bottom - top) / len(points)
    found: dict[int, Label] = {}
    for place, index in enumerate(order):
        point, y = points[index], top + step * (place + 0.5)
        lead = tuple(round(value, 1) for value in (point.x, point.y, left - 4, y))
        found[index] = _at(point, left, y + 4, "start", lead)
    return tuple(found[index] for index in range(len(points)))


def box(label: Label) -> Box:
    """Return left, top, right and bottom of the place a label takes at most."""
    width = _width(label.text) * (1.08 if label.strong else 1)
    left = label.x - (width if label.anchor == "end" else 0)
    return left, label.y - _ASCENT, left + width, label.y + _DESCENT


def meet(a: Box, b: Box) -> bool:
    """Whether two boxes have a place in common."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _placed(point: Named, area: Box, texts: Sequence[Box], marks: Sequence[Box], lines: Sequence[Box]) -> Label | None:
    beside = [_at(point, point.x + dx, point.y + dy, anchor) for dx, dy, anchor in _BESIDE]
    for label in _free(beside, area, (*texts, *marks, *lines)):
        return label
    for label in _free([*beside, *_around(point, area)], area, (*texts, *marks)):
        # Its line may pass marks, but no text.
        if not any(meet(each, other) for each in _along(label.lead) for other in texts):
            return label
    return None


def _around(point: Named, area: Box) -> Iterator[Label]:
    """Places on rings, the nearest first."""
    for ring in range(_RINGS):
        away = _RING + _STEP * ring
        for turn in range(_ANGLES):
            angle = 2 * math.pi * turn / _ANGLES
            x, y = point.x + away * math.cos(angle), point.y + away * math.sin(angle)
            if not (area[0] <= x <= area[2] and area[1] <= y <= area[3]):
                continue
            anchor = "start" if math.cos(angle) > -1e-9 else "end"
            end = x - 3 if anchor == "start" else x + 3
            lead = (point.x + 5.5 * math.cos(angle), point.y + 5.5 * math.sin(angle), end, y)
            yield _at(point, x, y + 4, anchor, tuple(round(value, 1) for value in lead))


def _at(point: Named, x: float, y: float, anchor: str, lead: tuple[float, ...] = ()) -> Label:
    text = shortened(point.name)
    return Label(round(x, 1), round(y, 1), anchor, text, point.name, lead, point.strong, point.style)


def _free(labels: Sequence[Label], area: Box, taken: Sequence[Box]) -> Iterator[Label]:
    """The labels that lie inside, and on nothing that is taken."""
    own = np.array([box(label) for label in labels])
    inside = (own[:, :2] >= area[:2]).all(axis=1) & (own[:, 2:] <= area[2:]).all(axis=1)
    other = np.array(taken, dtype=np.float64).reshape(-1, 4)
    met = (own[:, None, :2] < other[None, :, 2:]).all(axis=2) & (other[None, :, :2] < own[:, None, 2:]).all(axis=2)
    free = inside & ~np.any(met, axis=1)
    yield from (label for label, is_free in zip(labels, free.tolist(), strict=True) if is_free)


def _along(lead: tuple[float, ...]) -> list[Box]:
    """Small boxes along a line."""
    if not lead:
        return []
    x1, y1, x2, y2 = lead
    count = max(int(math.hypot(x2 - x1, y2 - y1) / 4), 1)
    places = [(x1 + (x2 - x1) * i / count, y1 + (y2 - y1) * i / count) for i in range(count + 1)]
    return [(x - 1, y - 1, x + 1, y + 1) for x, y in places]


@cache
def shortened(name: str) -> str:
    """Return a name that is at most `LONGEST` wide; what tells long names apart often stands at their end."""
    start, end = list(name), list[str]()
    while _width("".join([*start, *end])) > LONGEST:
        end = end or list(name[-12:])
        start.pop()
        if len(start) <= len(end):
            end.pop(0)
    return f"{''.join(start).rstrip()}…{''.join(end).lstrip()}" if end else name


@cache
def _width(text: str) -> float:
    return sum(_letter(letter) for letter in text)


def _letter(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 12.5
    return 4.2 if letter == " " else 9.6 if letter in "MWmw@%" else 8.2 if letter.isupper() else 7.2
