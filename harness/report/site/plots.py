"""Line and scatter pictures: from numbers to places on a drawing, which a template writes as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.site.labels import Label

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
    (x, low, high), `marks` dots with a text each, `spans` upright bars (x, low, high). `kind` names more classes.
    """

    name: str
    points: Points
    key: int | None = None
    band: tuple[tuple[float, float, float], ...] = ()
    marks: tuple[tuple[float, float, str], ...] = ()
    spans: tuple[tuple[float, float, float], ...] = ()
    kind: str = ""

    @property
    def style(self) -> str:
        """Classes of its colour, dash and kind."""
        return f"{'reference' if self.key is None else style(self.key)} {self.kind}".rstrip()


@dataclass(frozen=True)
class Plot:
    """A picture; `note` says what it shows and how it was computed. `width` and `height` are those of the drawing.

    `margin` is the room to the right of the axes.
    """

    title: str
    note: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    labels: tuple[Label, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    margin: int = RIGHT

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what the axes enclose."""
        return LEFT, TOP, self.width - self.margin, self.height - BOTTOM

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point on the drawing."""
        left, top, right, bottom = self.box
        return round(left + self.x.share(x) * (right - left), 1), round(bottom - self.y.share(y) * (bottom - top), 1)

    def line(self, points: Iterable[tuple[float, float]]) -> str:
        """The points as an SVG polyline has them."""
        # As `place`, of hundreds of points on each of thousands of pages.
        left, top, right, bottom = self.box
        across, up, wide, high = self.x.share, self.y.share, right - left, bottom - top
        return " ".join(f"{round(left + across(x) * wide, 1):g},{round(bottom - up(y) * high, 1):g}" for x, y in points)

    def area(self, band: Sequence[tuple[float, float, float]]) -> str:
        """The outline of a band as an SVG polygon has it."""
        there = [(x, high) for x, _, high in band]
        return self.line([*there, *((x, low) for x, low, _ in reversed(band))])


def style(key: int) -> str:
    """Classes of the colour and dash of row `key` of a board: 21 rows differ."""
    return f"c{key % COLOURS} d{key // COLOURS % DASHES}"


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
