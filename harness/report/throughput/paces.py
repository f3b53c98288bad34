"""How fast the rows of accuracy boards are: what `harness bench` measured of them, else their own test passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.data.cards import find_card
from harness.errors import UserError
from harness.registry import changed_settings
from harness.report.leaderboard.board import Board, Pace, Row
from harness.report.throughput.board import SpeedBoard, SpeedRow


def with_paces(boards: Sequence[Board], throughput: Sequence[SpeedBoard]) -> tuple[Board, ...]:
    """Return the boards with the pace of each row.

    Of the throughput boards whose hardware has a name, the one that measured most rows of a board counts for it: what
    different hardware gave does not stand in one column. A row takes its figures where method, settings, text tower,
    features and arithmetic are the same.
    """
    return tuple(_with_paces(board, throughput) for board in boards)


def _with_paces(board: Board, throughput: Sequence[SpeedBoard]) -> Board:
    found: list[Pace | None] = [None] * len(board.rows)
    family = _family(board)
    for speeds in throughput:
        if speeds.hardware and _same_task(board, speeds):
            paces = [_benched(row, family, speeds) for row in board.rows]
            if _count(paces) > _count(found):
                found = paces
    rows = (
        dataclasses.replace(row, pace=pace or _of_test_pass(row)) for row, pace in zip(board.rows, found, strict=True)
    )
    return dataclasses.replace(board, rows=tuple(rows))


def _count(paces: Sequence[Pace | None]) -> int:
    return sum(pace is not None for pace in paces)


def _same_task(board: Board, speeds: SpeedBoard) -> bool:
    """Whether whole videos of the same classes and features were read; growing videos cost otherwise."""
    trained_on = board.asked.trained_on or board.dataset
    return not board.asked.reading and (speeds.dataset, speeds.features) == (trained_on, board.features)


def _benched(row: Row, family: str, speeds: SpeedBoard) -> Pace | None:
    if row.ablation or row.checkpoint or (row.preset, row.arithmetic) != (speeds.preset, speeds.precision):
        return None
    settings = changed_settings(row.method, family, row.preset, row.config)

    def same(each: SpeedRow) -> bool:
        return (each.method, each.figures.text_tower, each.figures.settings) == (row.method, row.text_tower, settings)

    there = next((each.figures.frames_per_second for each in speeds.rows if same(each)), None)
    return None if there is None else Pace(there, "bench", speeds.machine)


def _of_test_pass(row: Row) -> Pace | None:
    specs = [run.result.spec for run in row.members if run.result.spec is not None]
    if row.test_frames_per_second is None or not specs:
        return None
    device, threads = specs[-1].device, specs[-1].threads
    names = row.provenance.get("gpu" if device == "cuda" else "processor", ())
    hardware = " / ".join(filter(None, names)) or "unnamed hardware"
    words = f"{hardware}, {device}, {row.arithmetic}, {threads} thread{'s' * (threads != 1)}"
    return Pace(row.test_frames_per_second, "test pass", words)


def _family(board: Board) -> str:
    try:
        return find_card(board.asked.trained_on or board.dataset).settings_family
    except UserError:  # a card from someone's own file
        return ""


def words(board: Board) -> str:
    """Return a sentence that says where the frames per second of a board's rows come from; "" where there are none."""
    found: dict[str, dict[str, None]] = {}
    for row in board.rows:
        if row.pace is not None:
            found.setdefault(row.pace.measured, {})[row.pace.where] = None
    by = {"bench": "harness bench, single videos of 256 snippets", "test pass": "the runs' own test passes"}
    said = [f"{name}: {text}, on {'; '.join(found[name])}" for name, text in by.items() if name in found]
    return f"Frames/s: video frames from features. {'. '.join(said)}." if said else ""
