"""The boards of a repository: rows of all records that may be compared, in order, with their ranks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.boards.record import BoardKey, Division, Record, Resampled, Row
from harness.metrics.many import Many
from harness.metrics.version import PROTOCOL_VERSION
from harness.report.figures import place
from harness.report.leaderboard.keys import siblings_of, title_of
from harness.report.leaderboard.ranking import LEVEL, in_groups

Arrays = Callable[[Record], dict[int, Resampled]]


@dataclass(frozen=True)
class Placed:
    """A row on its board. `rank` counts from 1, shared by rows that cannot be told apart; None without a claim.

    `number` is the row's place in its record.
    """

    record: Record
    number: int
    rank: int | None = None
    shared: bool = False

    @property
    def row(self) -> Row:
        """The row itself."""
        return self.record.rows[self.number]

    @property
    def value(self) -> float | None:
        """Its mean of the primary metric, as a fraction; None where it has none."""
        figure = self.row.figures.get(self.row.primary)
        return None if figure is None else figure.mean

    @property
    def place(self) -> str:
        """The rank as people read it: "3", "=1" where it is shared, "-" without one."""
        return place(self.rank, self.shared)

    @property
    def unranked(self) -> str:
        """In words why it has no rank, "" where it has one."""
        if self.rank is not None:
            return ""
        if not self.row.verified:
            return "claimed, not verified"
        if not self.row.honest:
            return "chose its weights on the test set"
        return "one seed, no claim" if len(self.row.seeds) < 2 else "not tested"


@dataclass(frozen=True)
class Board:
    """Rows of one key and division, the verified ones first, best primary metric first."""

    key: BoardKey
    division: Division
    title: str
    rows: tuple[Placed, ...]

    @property
    def slug(self) -> str:
        """Its name in addresses, whatever names a stranger made up."""
        words = re.sub(r"[^a-z0-9]+", "-", f"{self.key.dataset}-{self.key.features}".lower()).strip("-")[:60]
        return f"{words}-{self.division}-{self.key.digest[:8]}"

    @property
    def primary(self) -> str:
        """The metric by which it is ordered."""
        return self.rows[0].row.primary

    @property
    def earlier(self) -> bool:
        """Whether its metrics are those of an earlier version of the protocol."""
        return self.key.protocol_version != PROTOCOL_VERSION


def boards(records: Iterable[Record], arrays: Arrays, only: Callable[[Row], bool] = lambda row: True) -> list[Board]:
    """Return the boards of some records, ranked; `arrays` gives what the rows of one are ranked by.

    Only boards of rows that pass `only`, which must be alike for all rows of a board.
    """
    groups: dict[tuple[BoardKey, Division], list[Placed]] = defaultdict(list)
    for record in records:
        for number, row in enumerate(record.rows):
            if only(row):
                groups[row.board, row.division].append(Placed(record, number))
    keys = sorted({key.key for key, _ in groups})
    found = [
        Board(key, division, title_of(key.key, siblings_of(key.key, keys)), _ranked(placed, arrays))
        for (key, division), placed in groups.items()
    ]
    # What is computed now comes before what was.
    return sorted(found, key=lambda board: (board.earlier, board.key.key, board.division, board.key.digest))


def _ranked(placed: Iterable[Placed], arrays: Arrays) -> tuple[Placed, ...]:
    ordered = sorted(placed, key=_order)
    there = [each for each in ordered if each.row.verified and each.row.honest and len(each.row.seeds) > 1]
    drawn = [(each, found) for each in there if (found := arrays(each.record).get(each.number)) is not None]
    rank = dict(zip([_name(each) for each, _ in drawn], _ranks([found for _, found in drawn], drawn), strict=True))
    sharing = Counter(rank.values())
    own = [(each, rank.get(_name(each))) for each in ordered]
    return tuple(Placed(each.record, each.number, number, sharing[number] > 1) for each, number in own)


def _ranks(found: Sequence[Resampled], drawn: Sequence[tuple[Placed, Resampled]]) -> list[int | None]:
    if not found:
        return []
    many = Many([each.values for each in found], [each.row.seeds for each, _ in drawn], found[0].normal)
    return in_groups(len(found), lambda best: many.p_values(best, LEVEL))


def _name(placed: Placed) -> tuple[str, int]:
    return placed.record.id, placed.number


def _order(placed: Placed) -> tuple[bool, float, str, str, str, int]:
    row, value = placed.row, placed.value
    best_first = 1.0 if value is None else -value
    return not row.verified, best_first, row.method, row.selection, placed.record.id, placed.number
