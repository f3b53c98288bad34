"""The page of what `harness bench` measured: a table for each hardware and way of measuring, growth with length."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from typing import Any

from harness.report.site.plots import Axis, Plot, Points, Series
from harness.report.throughput.board import SpeedBoard, SpeedRow
from harness.report.throughput.tables import WORDS

URL = "throughput.html"


def speeds_page(environment: Any, boards: Sequence[SpeedBoard], methods: Collection[str]) -> str:
    """Return the text of the page; `methods` are those that have a page of their own."""
    template = environment.get_template("throughput.html.j2")
    entries = [(board, growth_plot(board), command(board)) for board in boards]
    named = {row.method for board in boards for row in board.rows}
    text: str = template.render(root="", entries=entries, methods=methods, count_methods=len(named), words=WORDS)
    return text


def growth_plot(board: SpeedBoard) -> Plot:
    """Return the time for a video by its length, one line for each row."""
    rows = [row for row in board.rows if row.figures.growth]
    lengths = [length for row in rows for length in row.figures.growth]
    times = [1000 * value for row in rows for value in row.figures.growth.values()]
    return Plot(
        "Time by length of a video",
        "Milliseconds to score one video. Where cost grows with the square of the length a line is twice as steep.",
        Axis.around("snippets (log scale)", lengths, log=True),
        Axis.around("milliseconds (log scale)", times, log=True),
        tuple(Series(_name(row), _growth(row), key) for key, row in enumerate(rows)),
    )


def command(board: SpeedBoard) -> str:
    """Return the shell command that measures the rows of a board again, on whatever it is called on."""
    words = ["harness", "bench", "--methods", ",".join(dict.fromkeys(row.method for row in board.rows))]
    for name, value in (("dataset", board.dataset), ("features", board.features), ("preset", board.preset)):
        words += [f"--{name}", value] if value else []
    words += ["--device", board.device] if board.device != "cpu" else []
    words += ["--precision", board.precision] if board.precision != "fp32" else []
    for row in board.rows:
        for name, value in row.figures.settings.items():
            words += ["--set", f"{row.method}.{name}={json.dumps(value)}"]
    return f"OMP_NUM_THREADS={board.threads} {shlex.join(words)}"


def _growth(row: SpeedRow) -> Points:
    return tuple((length, 1000 * seconds) for length, seconds in sorted(row.figures.growth.items()))


def _name(row: SpeedRow) -> str:
    return row.title + (f" ({row.settings})" if row.settings else "")
