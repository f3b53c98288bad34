"""The studies that recorded runs make up: what `harness study` computed, or a matrix with disturbances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError
from harness.records.disturbance import KINDS, disturbance_of
from harness.report.leaderboard.board import Board
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.study.command import command
from harness.report.study.curves import Study, study_of


@dataclass(frozen=True)
class Recorded:
    """A study, the shell command that makes it again, and the boards of its disturbed runs."""

    study: Study
    command: str
    boards: tuple[Board, ...]


def studies(boards: Sequence[Board], artifact: Artifact, cache: Path | None) -> list[Recorded]:
    """Return every study of a leaderboard, by data set, feature set and kind of disturbance.

    A method belongs to a study if it ran at several levels, of which the undisturbed one may be one.
    """
    groups: dict[tuple[object, ...], list[Board]] = defaultdict(list)
    for board in boards:
        asked = replace(board.asked, track="weak", disturbance="")
        shared = (board.dataset, board.features, board.feature_hash, board.dataset_hash, board.protocol, board.excluded)
        groups[(*shared, asked)].append(board)
    found = []
    for group in groups.values():
        disturbed = [(disturbance_of(board.asked.disturbance), board) for board in group if board.asked.disturbance]
        plain = [board for board in group if not board.asked.disturbance]
        for name in [name for name in KINDS if name in {each.name for each, _ in disturbed}]:
            levels = [board for each, board in disturbed if each.name == name]
            study = study_of(name, _undisturbed(name, levels[0]), [*plain, *levels], artifact, cache)
            study = replace(study, curves=tuple(curve for curve in study.curves if len(curve.points) > 1))
            if study.curves:
                rows = [row for board in levels for row in board.rows]
                found.append(Recorded(study, command(study, rows), tuple(levels)))
    return found


def _undisturbed(name: str, board: Board) -> float:
    from harness.data.cards import find_card

    if (none := KINDS[name].none) is not None:
        return none
    try:
        return float(find_card(board.dataset).features[board.features].crops)
    except (UserError, KeyError):  # a card from someone's own file: beyond the most that was tried
        return 1 + max(disturbance_of(board.asked.disturbance).level, 1)
