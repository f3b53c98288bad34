"""What each part of the site is made of, as a key: parts with the same key have the same files. The one place for that.

All keys hold the *edition* (code, templates, cards, records of parity and checks, see `harness.report.facts`), the
formats beside the site, and whether it has a page of throughput. A run counts with its record and with the sizes and
times of its files. Whatever else a part shows is written out in its key: values, not names of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.io.digests import digest
from harness.report.facts import Facts
from harness.report.leaderboard.board import Board, Row
from harness.report.leaderboard.cautions import of_rows
from harness.report.site.render import origin
from harness.tracking.tracker import TrackedRun


class Keys:
    """The keys of one site; all are "" where nothing is known of its files, `facts` being None: then all is made."""

    def __init__(self, facts: Facts | None, formats: Sequence[str], speeds: str) -> None:
        """`formats` are the tables beside the site, `speeds` is the address of the page of throughput or ""."""
        self._facts, self._shared = facts, (*formats, speeds)
        self._runs: dict[tuple[str, str], str] = {}

    def assets(self) -> str:
        """Styles and scripts: the edition alone."""
        return self._of("assets", (), ())

    def videos(self, board: Board, url: str) -> str:
        """What the pages of a board's runs share: the ground truth of one of them."""
        return self._of("videos", (url, board.asked), board.rows[0].members[:1])

    def run(self, about: Board, url: str, row: Row, run: TrackedRun, truth: TrackedRun) -> str:
        """The page of a run, and the scores that it loads: the run; what it says of its board, see `about_run`, and
        where that is; the row, but for what its other seeds and other rows decide; whose ground truth it is."""
        return self._of("run", (about, url, *_row(row), run.result.seed), (run, truth))

    def board(self, board: Board, url: str) -> str:
        """The page of a board and the timelines that it loads: all that the board holds, and its runs."""
        return self._of("board", (board, url), [run for row in board.rows for run in row.members])

    def method(self, entries: Sequence[tuple[Board, str, object, Row]]) -> str:
        """The page of a method: its rows with their runs; of their boards what they are, where, and the ranges that
        bars are drawn over. An entry is a board, its address, its ranges and the row."""
        said = [
            (replace(board, rows=(), open_pairs=(), metrics=(), cautions=()), url, ranges, row)
            for board, url, ranges, row in entries
        ]
        return self._of("method", said, [run for *_, row in entries for run in row.members])

    def _of(self, kind: str, values: Sequence[object], runs: Sequence[TrackedRun]) -> str:
        if self._facts is None:
            return ""
        known = [self._known(self._facts, run) for run in runs]
        return digest(self._facts.edition, *self._shared, kind, *map(repr, values), *known)

    def _known(self, facts: Facts, run: TrackedRun) -> str:
        """All that the store says of a run, which is not what its directory says where somebody edited it, and its
        files."""
        name = (run.mlflow_id, run.content)
        if name not in self._runs:
            self._runs[name] = digest(*name, run.result.model_dump_json(), facts.of_run(run))
        return self._runs[name]


def about_run(board: Board, row: Row, general: Sequence[str]) -> Board:
    """Return what the page of a run says of its board: no more than a new run beside it leaves as it is.

    `general` are the cautions that do not come from rows.
    """
    return replace(board, rows=(), open_pairs=(), metrics=(), cautions=(*general, *of_rows([row])))


def _row(row: Row) -> tuple[object, ...]:
    """What the page of a run says of its row, or its command is made of."""
    last = row.members[-1].result.spec
    machine = (last.device, last.precision, last.compiled) if last else ()
    settings = (row.preset, row.config, row.config_hash, row.checkpoint, row.text_tower)
    return (row.method, row.title, row.selection, row.origin, origin(row), *settings, *machine)
