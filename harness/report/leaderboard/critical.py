"""The critical-difference diagram: average ranks of the methods that several data sets share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.metrics import ranks as ranks_module
from harness.metrics.ranks import Ranks, average_ranks
from harness.report.leaderboard.board import Board
from harness.report.leaderboard.questions import Question
from harness.report.memory import looked_up, text_key

WIDTH, LEFT, ROW, AXIS = 720, 190, 20, 46


@dataclass(frozen=True)
class Entry:
    """A method on the diagram: place on the axis, height of its name, side (-1 left, 1 right)."""

    title: str
    method: str
    rank: float
    x: float
    y: float
    side: int


@dataclass(frozen=True)
class Diagram:
    """Average ranks from 1 at the left; `bars` join methods that are too close to tell apart: (x, x, y)."""

    datasets: tuple[str, ...]
    critical: float
    entries: tuple[Entry, ...]
    bars: tuple[tuple[float, float, float], ...]
    ticks: tuple[tuple[float, int], ...]
    reach: float
    height: float


def diagram(boards: Sequence[Board], cache: Path | None = None) -> Diagram | None:
    """Return the diagram over the data sets; None where fewer than two share at least three methods.

    Of each data set the board with most methods counts, and of each method its trained, unablated row with selection
    `last`; a method with several such rows on a board is left out, and one with a single seed, which makes no claim.
    Methods that share a rank on a board, because seeds and test videos cannot tell them apart, share it here.
    Incomplete data sets and harder questions do not count. What is computed is kept in the directory `cache`.
    """
    values: dict[str, dict[str, float]] = {}
    for board in boards:
        if board.partial or board.asked != Question():
            continue
        rows = [row for row in board.rows if row.selection == "last" and not row.ablation and row.rank]
        once = [row for row in rows if sum(other.method == row.method for other in rows) == 1]
        if len(once) > len(values.get(board.dataset, ())):
            values[board.dataset] = {row.method: -float(row.rank or 0) for row in once}
    shared = {name: each for name, each in values.items() if len(each) >= 3}
    if len(shared) < 2 or len(set.intersection(*map(set, shared.values()))) < 3:
        return None
    # What tells methods apart takes seconds to import.
    key = text_key((ranks_module,), repr(shared))
    found = looked_up(cache, key, lambda: [asdict(each) for each in [average_ranks(shared)] if each is not None])
    if not found:
        return None
    (found,) = found
    ranks = Ranks(**{**found, "groups": tuple(map(tuple, found["groups"]))})
    titles = {row.method: row.title for board in boards for row in board.rows if not row.ablation}
    count = len(ranks.average)
    x = {name: _across(rank, count) for name, rank in ranks.average.items()}
    tops = AXIS + 14
    bars = tuple((x[group[0]] - 4, x[group[-1]] + 4, tops + 7.0 * i) for i, group in enumerate(ranks.groups))
    first, half = tops + 7.0 * len(bars) + 14, (count + 1) // 2
    entries = []
    for index, (name, rank) in enumerate(ranks.average.items()):
        left = index < half
        # The outermost names stand highest, so that no line crosses another.
        y = first + ROW * (index if left else count - 1 - index)
        entries.append(Entry(titles.get(name, name), name, rank, x[name], y, -1 if left else 1))
    return Diagram(
        tuple(shared),
        ranks.critical,
        tuple(entries),
        bars,
        tuple((_across(rank, count), rank) for rank in range(1, count + 1)),
        ranks.critical * (WIDTH - 2 * LEFT) / max(count - 1, 1),
        first + ROW * half,
    )


def _across(rank: float, count: int) -> float:
    return LEFT + (rank - 1) / max(count - 1, 1) * (WIDTH - 2 * LEFT)
