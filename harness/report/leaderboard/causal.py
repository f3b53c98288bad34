"""What a method loses when no score may see what follows: causal boards against those of the same runs offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError
from harness.records.truth import GroundTruth
from harness.report.figures import ordered
from harness.report.leaderboard.board import Board, Figure, Row
from harness.report.leaderboard.uncertainty import Artifact, Resamples

LOSS = "causal_loss"


def with_losses(boards: Sequence[Board], artifact: Artifact, cache: Path | None) -> list[Board]:
    """Return the boards; on causal ones each row has the metric `causal_loss`, where its offline row is among them.

    It is the primary metric offline minus that of the causal reading, of the same weights, with its 95% interval over
    seeds and test videos.
    """
    return [_compared(board, boards, artifact, cache) if board.asked.reading else board for board in boards]


def _compared(board: Board, boards: Sequence[Board], artifact: Artifact, cache: Path | None) -> Board:
    asked = replace(board.asked, reading="")
    same = ("dataset", "features", "feature_hash", "dataset_hash", "excluded", "partial", "protocol")
    offline = [
        row
        for other in boards
        if other.asked == asked and all(getattr(other, name) == getattr(board, name) for name in same)
        for row in other.rows
    ]
    by_weights = {_weights(row): row for row in offline}
    rows = []
    for row in board.rows:
        partner = by_weights.get(_weights(row))
        loss = _loss(board, partner, row, artifact, cache) if partner is not None else None
        rows.append(replace(row, metrics=row.metrics | ({LOSS: loss} if loss else {})))
    return replace(board, rows=tuple(rows), metrics=ordered({name for row in rows for name in row.metrics}))


def _weights(row: Row) -> tuple[str, ...]:
    """The trainings whose weights a row tests, one for each seed."""
    specs = [run.result.spec for run in row.members]
    return tuple(spec.source or spec.identity for spec in specs if spec is not None)


def _loss(board: Board, offline: Row, causal: Row, artifact: Artifact, cache: Path | None) -> Figure | None:
    try:
        truth = board.asked.truth(GroundTruth.load(artifact(causal.members[0], "truth.json")))
        apart = Resamples(truth, artifact, cache).difference(offline.members, causal.members, board.primary)
    except HarnessError:  # the boards' cautions already say so
        return None
    if apart is None:
        return None
    low, high = apart.interval() if len(causal.seeds) > 1 else (None, None)
    return Figure(apart.value, low=low, high=high)
