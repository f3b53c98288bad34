"""Line and scatter pictures: from numbers to places on a drawing, which a template writes as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 330
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 14, 46
COLOURS, DASHES = 7, 3

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Axis:
    """A range of numbers, in the unit of its label; `log` needs a positive one."""

    label: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, label: str, values: Iterable[float], log: bool = False) -> Axis:
        """An axis that holds all values with a little room; with no value it goes from 0 to 1 (log: 1 to 10)."""
        found = list(values) or [1.0]
        low, high = min(found), max(found)
        if log:
            return cls(label, low / 1.6, high * 1.6, True)
        room = 0.07 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(label, low - room, high + room)

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """About six round values inside the range, with their text."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1,), (1, 3), (1, 2, 5)):
                found = [k * 10.0**p for p in powers for k in steps if self.low <= k * 10.0**p <= self.high]
                if len(found) >= 3:
                    break
            return [(value, _short(value)) for value in found]
        raw = (self.high - self.low) / 6
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(k * power for k in (1, 2, 5, 10) if k * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        values = [(first + i) * step for i in range(12)]
        return [(value, f"{value:.{places}f}") for value in values if value <= self.high + 1e-9 * step]


@dataclass(frozen=True)
class Series:
    """One line or set of dots in the axes' units.

    `key` gives colour and dash and is what the page switches on and off, None for what always shows. `band` holds
    (x, low, high), `marks` dots with a text each.
    """

    name: str
    points: Points
    key: int | None = None
    band: tuple[tuple[float, float, float], ...] = ()
    marks: tuple[tuple[float, float, str], ...] = ()

    @property
    def style(self) -> str:
        """Classes of its colour and dash."""
        return "reference" if self.key is None else style(self.key)


@dataclass(frozen=True)
class Plot:
    """A picture; `note` says what it shows and how it was computed, `labels` are (place x, place y, anchor, text)."""

    title: str
    note: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    labels: tuple[tuple[float, float, str, str], ...] = ()

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point on the drawing."""
        across = LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM), 1)

    def line(self, points: Iterable[tuple[float, float]]) -> str:
        """The points as an SVG polyline has them."""
        return " ".join(f"{x:g},{y:g}" for x, y in (self.place(*point) for point in points))

    def area(self, band: Sequence[tuple[float, float, float]]) -> str:
        """The outline of a band as an SVG polygon has it."""
        there = [(x, high) for x, _, high in band]
        return self.line([*there, *((x, low) for x, low, _ in reversed(band))])


def style(key: int) -> str:
    """Classes of the colour and dash of row `key` of a board: 21 rows differ."""
    return f"c{key % COLOURS} d{key // COLOURS % DASHES}"


def labelled(plot_of: Plot, points: Sequence[tuple[float, float, str]]) -> Iterator[tuple[float, float, str, str]]:
    """Yield a label beside each point, where it hides no other label; a text without room is left out."""
    dots = [plot_of.place(x, y) for x, y, _ in points]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    for (x, y), (*_, text) in zip(dots, points, strict=True):
        width = 5.9 * len(text)
        for dx, dy, anchor in ((8, 4, "start"), (-8, 4, "end"), (0, -9, "middle"), (0, 17, "middle"), (7, -7, "start"),
                               (7, 14, "start"), (-7, -7, "end"), (-7, 14, "end")):  # fmt: skip
            left = x + dx - {"start": 0.0, "end": width, "middle": width / 2}[anchor]
            box = (left, y + dy - 9, left + width, y + dy + 2)
            inside = box[0] >= LEFT and box[2] <= WIDTH - 2 and box[1] >= TOP - 6 and box[3] <= HEIGHT - BOTTOM
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                yield x + dx, y + dy, anchor, text
                break


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
