"""Templates to text: every name on a page is shown as text, whatever it contains."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.parity.record import counts
from harness.paths import report_assets_dir
from harness.report import figures
from harness.report.leaderboard import transfer
from harness.report.leaderboard.board import Board, Figure, Row
from harness.report.leaderboard.open_pairs import settled
from harness.report.quoting import html_environment
from harness.report.site import classes, links, plots
from harness.report.site.citation import harness_bibtex
from harness.report.throughput import paces
from harness.version import __version__

STYLES = ("uPlot.min.css", "report.css", "site.css")

_FIGURES = (
    *("amount", "percent", "place", "signed", "short", "count", "milliseconds", "duration", "label", "main_metrics"),
    "first_metrics",
)


def environment(formats: Sequence[str], speeds: str = "") -> Any:
    """Return the Jinja environment of the site; `formats` are the tables that lie beside it, `speeds` is the address of
    the page of throughput, "" where nothing was measured."""
    made = html_environment(report_assets_dir())
    made.globals.update(
        {name: getattr(figures, name) for name in _FIGURES},
        ordered=figures.ordered,
        drop=transfer.drop,
        transfers_words=transfer.TRANSFERS_WORDS,
        origin=origin,
        whole=_whole,
        bar=_bar,
        joined=_joined,
        pretty=_pretty,
        settled=settled,
        pace_words=paces.words,
        speeds=speeds,
        shade=classes.shade,
        style=plots.style,
        links=links,
        formats=[name for name in formats if name != "html"],
        harness_bibtex=harness_bibtex(),
        styles=STYLES,
        version=__version__,
    )  # fmt: skip
    return made


def row_names(board: Board) -> list[str]:
    """What tells the rows apart: the title and selection, and the config or weights where these are not enough."""
    names = [f"{row.title} ({figures.chosen(row.selection, row.origin)})" for row in board.rows]
    if all(row.selection == "last" for row in board.rows):
        names = [row.title for row in board.rows]
    return [
        name if names.count(name) == 1 else f"{name} {row.preset or row.checkpoint[:6]} {row.config_hash[:6]}"
        for name, row in zip(names, board.rows, strict=True)
    ]


def scales(board: Board) -> dict[str, tuple[float, float]]:
    """The range of each metric's intervals on one board, so that its bars can be compared by eye."""
    found = {}
    for name in board.metrics:
        there = [row.metrics[name] for row in board.rows if name in row.metrics]
        ends = [end for figure in there for end in figure.widest or ()]
        found[name] = (min(ends), max(ends)) if ends else (0.0, 1.0)
    return found


def _bar(figure: Figure, scale: tuple[float, float]) -> dict[str, Any] | None:
    """Start, length and mark of an interval in percent of the bar's width; None without an interval.

    `inner` is start and length of the part that test videos alone make, where seeds make the rest.
    """
    if figure.widest is None:
        return None

    def place(value: float) -> float:
        return 100 * (value - scale[0]) / max(scale[1] - scale[0], 1e-9)

    def span(low: float, high: float) -> tuple[float, float]:
        return round(place(low), 1), round(max(place(high) - place(low), 1), 1)

    left, width = span(*figure.widest)
    inner = None
    if figure.low is not None and figure.videos_low is not None and figure.videos_high is not None:
        inner = span(figure.videos_low, figure.videos_high)
    return {"left": left, "width": width, "inner": inner, "mark": round(min(max(place(figure.mean), 0), 98.4), 1)}


def origin(row: Row) -> str:
    """Return where a row's weights come from, in words."""
    if row.origin == "trained":
        steps = [run.result.selected.steps for run in row.members if run.result.selected]
        again = any(run.result.spec is not None and run.result.spec.source for run in row.members)
        return "trained once, tested again" if again else "trained from scratch" if any(steps) else "no training steps"
    return {"checkpoint": "converted checkpoint", "imported": "imported scores"}.get(row.origin, "inference only")


def _whole(badge: str) -> bool:
    """Whether all parity cases of a badge, or of one of its stages, passed."""
    passed, cases = counts(badge)
    return 0 < passed == cases


def _joined(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: " / ".join(value for value in each if value) for name, each in values.items()}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True)
