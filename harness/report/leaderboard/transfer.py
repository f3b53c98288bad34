"""Trained on one data set, tested on another: a matrix, with what the move costs against training where one tests."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.records.truth import GroundTruth
from harness.report.figures import signed
from harness.report.leaderboard.board import Board, Row, Transfer, Transfers
from harness.report.leaderboard.questions import Question
from harness.report.leaderboard.uncertainty import Artifact, Resamples

TRANSFERS_WORDS = (
    "Trained on one data set and tested on another. Drop: points that the same method has more where it was trained on "
    "the data set of the test [95% interval, by seeds and test videos]."
)


def transfers(boards: Sequence[Board], artifact: Artifact, cache: Path | None) -> Transfers:
    """Return the matrix of the boards whose methods were trained on another data set; empty without any.

    Rows that looked at a test set stand on no matrix.
    """
    cells: list[Transfer] = []
    ranks: dict[str, list[int]] = {}
    moved = [board for board in boards if board.asked.trained_on and not board.asked.reading + board.asked.disturbance]
    for board in moved:
        at_home = [other for other in boards if _at_home(other, board)]
        for row in (row for row in board.rows if row.honest and board.primary in row.metrics):
            cells.append(_cell(board, row, at_home, artifact, cache))
            if row.rank is not None:
                ranks.setdefault(row.title, []).append(row.rank)
    everywhere = {title: each for title, each in ranks.items() if len(each) == len(moved)}
    average = sorted((statistics.fmean(each), title) for title, each in everywhere.items())
    return Transfers(tuple(cells), tuple((title, rank) for rank, title in average))


def _at_home(board: Board, moved: Board) -> bool:
    """Whether its rows were trained on the data set on which those of `moved` are tested."""
    same = ("dataset", "features", "feature_hash", "dataset_hash", "excluded", "partial")
    there = all(getattr(board, name) == getattr(moved, name) for name in same)
    return there and board.asked == Question(track=moved.asked.track)


def _cell(board: Board, row: Row, at_home: Sequence[Board], artifact: Artifact, cache: Path | None) -> Transfer:
    drop = low = high = None
    like = [other for other in _rows(at_home) if _kind(other) == _kind(row) and board.primary in other.metrics]
    if len(like) == 1:
        try:
            truth = GroundTruth.load(artifact(row.members[0], "truth.json"))
            apart = Resamples(truth, artifact, cache).difference(like[0].members, row.members, board.primary)
        except HarnessError:  # the boards' cautions already say so
            apart = None
        if apart is not None:
            drop = apart.value
            if min(len(like[0].seeds), len(row.seeds)) > 1:
                low, high = apart.interval()
    return Transfer(
        method=row.method,
        title=row.title,
        trained_on=board.asked.trained_on,
        tested_on=board.dataset,
        features=board.features,
        metric=board.primary,
        seeds=len(row.seeds),
        figure=row.metrics[board.primary],
        rank=row.rank,
        shared=row.shared,
        drop=drop,
        low=low,
        high=high,
    )


def _rows(boards: Sequence[Board]) -> Iterator[Row]:
    for board in boards:
        yield from board.rows


def _kind(row: Row) -> tuple[str, ...]:
    """What must be the same of two trainings; settings may be those of their data sets."""
    return row.method, row.ablation, row.preset, row.selection, row.text_tower, row.arithmetic


def drop(cell: Transfer) -> str:
    """Return the drop of a cell in points, with its interval; "-" where nobody trained it where it is tested."""
    if cell.drop is None:
        return "-"
    interval = f" [{signed(cell.low)}, {signed(cell.high)}]" if cell.low is not None else ", one seed: no claim"
    return signed(cell.drop) + interval
