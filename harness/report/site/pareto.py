"""The picture of accuracy against speed: every row named, with its interval, and the front of those that none beats."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

from harness.report.figures import label
from harness.report.leaderboard.board import Board, Figure, Pace
from harness.report.site.labels import COLUMN, LINE, Box, Named, in_column, labelled
from harness.report.site.plots import Axis, Plot, Points, Series, style
from harness.report.throughput import paces

WIDTH, HEIGHT, EACH = 760, 340, 9
# More points have their names in a column: looking for places beside them would take long, and find few.
FEW = 24
_NOTE = (
    "Bars: 95% interval of the method, by seeds and test videos; dashed, of one seed's weights, by test videos alone. "
    "Rows that chose their weights on the test set are left out."
)
_FRONT = "No row is both faster and better than those on the line, the Pareto front, whose names are bold. "


@dataclasses.dataclass(frozen=True)
class Point:
    """A row of a board: frames per second and percent."""

    key: int
    name: str
    speed: float
    value: float
    figure: Figure
    pace: Pace


def pareto_plot(board: Board, names: Sequence[str]) -> Plot | None:
    """Return the primary metric over frames per second; None where fewer than two rows have both.

    The front is drawn through what was measured in one way on one hardware, by `harness bench` where it measured any.
    """
    points = _points(board, names)
    if len(points) < 2:
        return None
    compared = _compared(points)
    best = front(compared)
    ends = [100 * end for point in points for end in (point.figure.widest or ())]
    note = f"{paces.words(board)} {_FRONT if best else ''}{_NOTE}"
    if not compared:
        note += " Speeds are of different hardware, so there is no front."
    elif len(compared) < len(points):
        note += " Hollow: known from its own test pass alone, so it stands on no front."
    plot = Plot(
        "Speed and accuracy",
        note,
        Axis.around("video frames per second, from features (log scale)", [p.speed for p in points], log=True),
        Axis.around(f"{label(board.primary)} in percent", [*(p.value for p in points), *ends]),
        (),
        width=WIDTH,
        height=HEIGHT + EACH * len(points),
    )
    stairs = (Series("Pareto front", _stairs(best, plot), kind="front"),) if best else ()
    hollow = {point.key for point in points} - {point.key for point in compared}
    dots = (_dot(point, "hollow" if compared and point.key in hollow else "") for point in points)
    return _named(dataclasses.replace(plot, series=(*stairs, *dots)), points, {point.key for point in best})


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other is at least as fast and as good as, and better in one; the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda each: (-each.speed, -each.value)):
        if (
            not found
            or point.value > found[-1].value
            or (point.speed, point.value) == (found[-1].speed, found[-1].value)
        ):
            found.append(point)
    return found


def _points(board: Board, names: Sequence[str]) -> list[Point]:
    return [
        Point(key, name, row.pace.frames_per_second, 100 * figure.mean, figure, row.pace)
        for key, (row, name) in enumerate(zip(board.rows, names, strict=True))
        if row.honest and row.pace and row.pace.frames_per_second > 0 and (figure := row.metrics.get(board.primary))
    ]


def _compared(points: Sequence[Point]) -> list[Point]:
    """The points whose speeds were measured in one way on one hardware; none where nothing says so."""
    benched = [point for point in points if point.pace.measured == "bench"]
    if benched:
        return benched
    return list(points) if len({point.pace.where for point in points}) == 1 else []


def _stairs(best: Sequence[Point], plot: Plot) -> Points:
    """The edge of what the front leaves behind: to the left of a point and below it nobody need look."""
    places = [(best[0].speed, plot.y.low)]
    for point, following in zip(best, [*best[1:], None], strict=True):
        places += [(point.speed, point.value), (following.speed if following else plot.x.low, point.value)]
    return tuple(places)


def _dot(point: Point, kind: str) -> Series:
    widest = point.figure.widest
    spans = ((point.speed, 100 * widest[0], 100 * widest[1]),) if widest else ()
    kind = " ".join(filter(None, (kind, "" if point.figure.low is not None else "weights")))
    text = f"{point.name}, {point.pace.measured}"
    return Series(point.name, (), point.key, marks=((point.speed, point.value, text),), spans=spans, kind=kind)


def _named(plot: Plot, points: Sequence[Point], best: set[int]) -> Plot:
    """The plot with a name for each point: beside it, or in a column at the right where points crowd."""
    left, top, right, bottom = plot.box
    lines = [box for series in plot.series for box in _lines(plot, series)]
    area = (left + 3, top - 8, right + 8, bottom - 2)
    labels = labelled(_places(plot, points, best), area, lines) if len(points) <= FEW else None
    if labels is None:
        height = max(plot.height, math.ceil(plot.height - (bottom - top) + LINE * len(points)))
        plot = dataclasses.replace(plot, height=height, margin=COLUMN)
        _, top, right, bottom = plot.box
        labels = in_column(_places(plot, points, best), right + 24, top, bottom)
    return dataclasses.replace(plot, labels=labels)


def _places(plot: Plot, points: Sequence[Point], best: set[int]) -> list[Named]:
    return [Named(*plot.place(p.speed, p.value), p.name, p.key in best, style(p.key)) for p in points]


def _lines(plot: Plot, series: Series) -> Iterator[Box]:
    """Boxes of what is drawn of a series, all of it upright or level."""
    parts = [((x, low), (x, high)) for x, low, high in series.spans]
    for one, other in (*parts, *itertools.pairwise(series.points)):
        (x1, y1), (x2, y2) = plot.place(*one), plot.place(*other)
        yield min(x1, x2) - 2, min(y1, y2) - 2, max(x1, x2) + 2, max(y1, y2) + 2
