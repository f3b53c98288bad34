"""Reports on disk: one page that works offline, and the same numbers as Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import write_json, write_text
from harness.paths import report_assets_dir
from harness.report import figures, tables
from harness.report.board import Board, Figure, Leaderboard
from harness.report.timelines import timelines
from harness.report.uncertainty import Artifact

FORMATS = ("html", "md", "csv", "json", "tex")


def write_report(
    leaderboard: Leaderboard, artifact: Artifact, directory: Path, formats: Sequence[str] = FORMATS[:4]
) -> list[Path]:
    """Write `leaderboard.<format>` for each format into `directory` and return the paths.

    Raises:
        UserError: there is nothing to report, a format is unknown, or the directory cannot be written.
    """
    check_formats(formats)
    if not leaderboard.boards and not leaderboard.failures:
        raise UserError("no run to report; start with `harness run --methods all`")
    paths = []
    for name in dict.fromkeys(formats):
        path = directory / f"leaderboard.{name}"
        if name == "html":
            write_text(path, page(leaderboard, artifact))
        elif name == "json":
            write_json(path, leaderboard.to_dict())
        else:
            write = {"md": tables.markdown, "csv": tables.comma_separated, "tex": tables.latex}[name]
            write_text(path, write(leaderboard))
        paths.append(path)
    return paths


def check_formats(formats: Sequence[str]) -> None:
    """Raise UserError unless every format is known and there is one."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"--formats {','.join(formats)!r}: expected some of {', '.join(FORMATS)}")


def page(leaderboard: Leaderboard, artifact: Artifact) -> str:
    """Return the self-contained HTML page; every name in it is shown as text, whatever it contains."""
    import jinja2

    assets = report_assets_dir()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.globals.update(
        percent=figures.percent,
        count=figures.count,
        duration=figures.duration,
        label=figures.label,
        chosen=figures.chosen,
        is_main=figures.is_main,
        bar=_bar,
    )
    data = [{"rows": _names(board), **timelines(board, artifact)} for board in leaderboard.boards]
    return environment.get_template("leaderboard.html.j2").render(
        boards=leaderboard.boards,
        failures=leaderboard.failures,
        scales=[{name: _scale(board, name) for name in board.metrics} for board in leaderboard.boards],
        # A script element ends at "</" or changes its meaning at "<!--", so no "<" may stand in it.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        **{name.replace(".", "_"): _asset(assets / name) for name in ("report.css", "report.js")},
        **{name.replace(".", "_"): _asset(assets / "vendor" / name) for name in ("uPlot.min.css", "uPlot.iife.min.js")},
    )


def _asset(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _names(board: Board) -> list[str]:
    """What tells the rows apart: the title and selection, and the config or weights where these are not enough."""
    names = [f"{row.title} ({figures.chosen(row.selection, row.origin)})" for row in board.rows]
    return [
        name if names.count(name) == 1 else f"{name} {row.preset or row.checkpoint[:6]} {row.config_hash[:6]}"
        for name, row in zip(names, board.rows, strict=True)
    ]


def _scale(board: Board, metric: str) -> tuple[float, float]:
    """The range of a metric's intervals on one board, so that its bars can be compared by eye."""
    found = [row.metrics[metric] for row in board.rows if metric in row.metrics]
    ends = [end for f in found for end in (f.low, f.high) if end is not None]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _bar(figure: Figure, scale: tuple[float, float]) -> dict[str, Any] | None:
    """Start, length and mark of an interval in percent of the bar's width; None without an interval."""
    if figure.low is None or figure.high is None:
        return None
    low, width = scale[0], max(scale[1] - scale[0], 1e-9)
    left, right, mark = (100 * (value - low) / width for value in (figure.low, figure.high, figure.mean))
    return {"left": round(left, 1), "width": round(max(right - left, 1), 1), "mark": round(min(max(mark, 0), 100), 1)}
