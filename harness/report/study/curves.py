"""The curves of a study: each method's primary metric at every level, and what it lost since nothing was disturbed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.records.disturbance import KINDS, Kind, disturbance_of
from harness.records.track import Track
from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Board, Figure, Row
from harness.report.leaderboard.uncertainty import Artifact, Resamples


@dataclass(frozen=True)
class Point:
    """One level of one method, fractions. `loss` is the metric undisturbed minus that of the level, of the same seeds.

    Both have the 95% interval of the method with several seeds, of these weights with one. `loss` is None where nothing
    is disturbed, or predictions could not be read.
    """

    level: float
    figure: Figure
    loss: Figure | None
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """One method over the levels, from nothing disturbed on."""

    method: str
    title: str
    track: Track
    preset: str
    seeds: tuple[int, ...]
    points: tuple[Point, ...]

    @property
    def claim(self) -> str:
        """Of what its numbers speak: "method" with several seeds, "weights" with one."""
        return "method" if len(self.seeds) > 1 else "weights"


@dataclass(frozen=True)
class Study:
    """What a study found on one data set. `undisturbed` is the level at which nothing is, `metric` the primary one."""

    name: str
    dataset: str
    features: str
    metric: str
    videos: int
    frames: int
    undisturbed: float
    curves: tuple[Curve, ...]
    cautions: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What was disturbed, and how."""
        return KINDS[self.name]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        curves = [{**asdict(curve), "claim": curve.claim} for curve in self.curves]
        return {"study": self.name, "part": self.kind.part, "says": self.kind.says, **asdict(self), "curves": curves}


def study_of(name: str, undisturbed: float, boards: Sequence[Board], artifact: Artifact, cache: Path | None) -> Study:
    """Return the study that the boards of its runs, of one data set and feature set, make up.

    Raises:
        ValueError: there is no board.
    """
    plain = [board for board in boards if not board.asked.disturbance]
    whole = {_key(row): row for board in plain for row in board.rows}
    curves: dict[tuple[str, ...], Curve] = {}
    for level, board in sorted(((_level(board, undisturbed), board) for board in boards), key=_nearest(undisturbed)):
        for row in (row for row in board.rows if board.primary in row.metrics):
            partner = whole.get(_key(row)) if board.asked.disturbance else None
            loss = _loss(board, partner, row, artifact, cache) if partner is not None else None
            point = Point(level, row.metrics[board.primary], loss, row.runs)
            started = Curve(row.method, row.title, board.asked.track, row.preset, row.seeds, ())
            curve = curves.get(_key(row), started)
            curves[_key(row)] = replace(curve, points=(*curve.points, point))
    first = (plain or list(boards))[0]
    facts = (first.dataset, first.features, first.primary, first.videos, first.frames)
    cautions = dict.fromkeys(caution for board in plain for caution in board.cautions)
    return Study(name, *facts, undisturbed, tuple(curves.values()), tuple(cautions))


def _key(row: Row) -> tuple[str, ...]:
    return row.method, row.preset, row.config_hash, row.selection


def _level(board: Board, undisturbed: float) -> float:
    return disturbance_of(board.asked.disturbance).level if board.asked.disturbance else undisturbed


def _nearest(undisturbed: float) -> Callable[[tuple[float, Board]], float]:
    """Order from what disturbs least: away from the level at which nothing is disturbed."""
    return lambda each: abs(each[0] - undisturbed)


def _loss(board: Board, undisturbed: Row, row: Row, artifact: Artifact, cache: Path | None) -> Figure | None:
    # Where a seed failed, the others are compared.
    both = set(undisturbed.seeds) & set(row.seeds)
    one, other = ([run for run in each.members if run.result.seed in both] for each in (undisturbed, row))
    try:
        truth = GroundTruth.load(artifact(row.members[0], "truth.json"))
        apart = Resamples(truth, artifact, cache).difference(one, other, board.primary) if both else None
    except HarnessError:  # the boards' cautions already say so
        return None
    if apart is None:
        return None
    videos_low, videos_high = apart.of_weights.interval()
    loss = Figure(apart.value, videos_low=videos_low, videos_high=videos_high)
    if len(both) > 1:
        low, high = apart.interval()
        loss = replace(loss, low=low, high=high)
    return loss
