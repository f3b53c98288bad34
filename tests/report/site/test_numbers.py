"""Every number in the tables of the overview, of the boards and of throughput is that of the leaderboard object."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from harness.report.figures import amount, count, duration, milliseconds, percent, place, short, signed
from harness.report.leaderboard.board import Board, Row
from harness.report.site.links import board_slugs
from harness.report.throughput.board import SpeedRow
from tests.report.conftest import Site, benchmarks


@dataclass
class Cell:
    """What a cell of a row says of a `name`: the value that sorts and the text that is read."""

    name: str
    value: str
    text: str = ""


@dataclass
class Line:
    """A row of a table: the number of its board's row, the board if the table has several, and its cells."""

    row: int
    board: str
    cells: list[Cell] = field(default_factory=list)


class Tables(HTMLParser):
    """All rows that say which row of which board they are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self._board, self._cell, self._inside = "", False, False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "table":
            self._board = named.get("data-board", "")
        if tag == "tr":
            self._inside = "data-row" in named
            if self._inside:
                self.lines.append(Line(int(named["data-row"]), named.get("data-board", self._board)))
        if tag in ("td", "th"):
            self._cell = self._inside and ("data-figure" in named or "data-metric" in named)
            if self._cell:
                name = named.get("data-figure") or named["data-metric"]
                self.lines[-1].cells.append(Cell(name, named["data-value"]))
        if tag == "span" and self._cell:
            self.lines[-1].cells[-1].text += " "

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.lines[-1].cells[-1].text += data

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"


def metric(board: Board, row: Row, name: str) -> tuple[Any, str]:
    """The value of a metric, and all that its cell reads."""
    figure = row.metrics.get(name)
    if figure is None:
        return "", "-"
    text = amount(name, figure.mean) + (f" ± {amount(name, figure.sd)}" if figure.sd is not None else "")
    text += f" [{percent(figure.low)}, {percent(figure.high)}]" if figure.low is not None else ""
    if figure.videos_low is not None:
        text += f" videos [{percent(figure.videos_low)}, {percent(figure.videos_high)}]"
    return figure.mean, text


def fact(row: Row, name: str) -> tuple[Any, str]:
    """The same of anything else on a board."""
    if name == "rank":
        unranked = "one seed, no claim" if row.honest and row.claim == "weights" else "-"
        return row.rank, unranked if row.rank is None else place(row.rank, row.shared)
    if name == "seeds":
        return len(row.seeds), str(len(row.seeds))
    if name == "frames_per_second":
        return (
            (row.pace.frames_per_second, f"{count(row.pace.frames_per_second)} {row.pace.measured}")
            if row.pace
            else ("", "-")
        )
    value = getattr(row, name)
    shown = {"parameters": count, "train_seconds": duration, "oracle_gap": signed, "stability": percent}[name]
    return value, shown(value)


def speed(row: SpeedRow, name: str) -> tuple[Any, str]:
    """The same of throughput."""
    f = row.figures
    if name == "rank":
        return row.rank, place(row.rank, row.shared)
    latency = {"latency_ms.p50": f.latency_ms, "long_latency_ms.p50": f.long_latency_ms}.get(name)
    if latency is not None:
        p50, p95, p99 = (milliseconds(latency[share]) for share in ("p50", "p95", "p99"))
        return latency["p50"], f"{p50} p95 {p95} p99 {p99}"
    texts = {
        "frames_per_second": f"{count(f.frames_per_second)} ± {100 * f.spread:.0f}%",
        "best_frames_per_second": f"{count(f.best_frames_per_second)} {f.best_batch} at once",
        "streaming_ms": f"{milliseconds(f.streaming_ms)} a window",
        "peak_memory_mb": short(f.peak_memory_mb, 1),
        "flops": count(f.flops),
        "parameters": f"{count(f.parameters)} {count(f.trainable_parameters)} trained",
        "exponent": f"T^{f.exponent:.2f}",
        "full_training_hours": " ".join(
            (short(f.full_training_hours, 2), short(f.step_seconds, 3), "s a step", str(f.training_steps), "steps")
        ),
    }
    return getattr(f, name), texts[name]


def check(cell: Cell, expected: tuple[Any, str]) -> None:
    value, text = expected
    assert cell.value == ("" if value is None else str(value)), cell
    assert " ".join(cell.text.split()) == text, cell


def test_overview_and_boards(site: Site) -> None:
    boards = dict(zip(board_slugs(site.leaderboard.boards), site.leaderboard.boards, strict=True))
    pages = {f"boards/{slug}.html": slug for slug in boards}
    seen = dict.fromkeys(("index.html", *pages), 0)
    for name in seen:
        for line in Tables(site.text(name)).lines:
            board = boards[line.board or pages[name]]
            row = board.rows[line.row]
            for cell in line.cells:
                check(
                    cell,
                    metric(board, row, cell.name) if cell.name in (*board.metrics, "map_avg") else fact(row, cell.name),
                )
                seen[name] += 1
            shown = {cell.name for cell in line.cells}
            assert {"rank", "seeds", "frame_auc", "frame_ap", "map_avg", "frames_per_second", "parameters"} <= shown
            assert name == "index.html" or set(board.metrics) <= shown
    assert all(seen.values())
    rows = sum(len(board.rows) for board in boards.values())
    assert len(Tables(site.text("index.html")).lines) == rows


def test_throughput(site: Site) -> None:
    lines = Tables(site.text("throughput.html")).lines
    assert len(lines) == len(benchmarks()) == sum(len(board.rows) for board in site.leaderboard.throughput)
    for line in lines:
        row = site.leaderboard.throughput[int(line.board)].rows[line.row]
        assert row.figures in [each.figures for each in benchmarks()]
        assert len(line.cells) == 11
        for cell in line.cells:
            check(cell, speed(row, cell.name))
    assert {board.hardware for board in site.leaderboard.throughput} >= {"Test CPU", "Test GPU"}


def test_every_point_of_the_picture_is_named_with_the_hardware_below(site: Site) -> None:
    for slug, board in zip(board_slugs(site.leaderboard.boards), site.leaderboard.boards, strict=True):
        figure = re.search(
            r'<figure class="plot fixed pareto">.*?</figure>', site.text(f"boards/{slug}.html"), re.DOTALL
        )
        assert figure is not None
        shown = [row for row in board.rows if row.honest and row.pace]
        assert figure[0].count("<circle") == figure[0].count('class="name') == len(shown)
        assert shown[0].pace is not None
        assert "Test CPU (2 cores), cpu, fp32, 1 thread" in figure[0] or board.dataset != "toy"
        assert "unnamed hardware, cpu, fp32, 1 thread" in figure[0]
