"""Leaderboards as plain tables: Markdown and LaTeX for people, CSV for programs."""

from __future__ import annotations

import csv
import html
import io
import re

from harness.report.board import Board, Figure, Leaderboard, Row
from harness.report.figures import chosen, count, duration, is_main, label, percent


def markdown(leaderboard: Leaderboard) -> str:
    """Return one Markdown table per board: percentages, mean ± sd over seeds, 95% interval over videos."""
    lines = ["# Leaderboard", ""]
    for board in leaderboard.boards:
        head, rows = _cells(board)
        lines += [f"## {_md(board.title)}", "", _md_facts(board), ""]
        lines += [f"> {_md(caution)}" for caution in board.cautions] + [""]
        lines += [
            _md_row(head),
            _md_row(["---", "---", "---", "---", *["---:"] * (len(head) - 4)]),
            *map(_md_row, rows),
            "",
        ]
    if leaderboard.failures:
        lines += ["## Failed runs", "", *(f"- {_md(f.run)}: {_md(f.error)}" for f in leaderboard.failures), ""]
    return "\n".join(lines)


def latex(leaderboard: Leaderboard) -> str:
    """Return one booktabs table per board."""
    parts = []
    for board in leaderboard.boards:
        head, rows = _cells(board)
        lines = [" & ".join(map(_tex, row)) + r" \\" for row in (head, *rows)]
        body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
        columns = "ll" + "r" * (len(head) - 2)
        parts.append(f"% {_line(board.title)}\n\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n")
    return "\n".join(parts)


def comma_separated(leaderboard: Leaderboard) -> str:
    """Return one CSV for all boards: fractions in full precision, one line per row."""
    metrics = list(dict.fromkeys(name for board in leaderboard.boards for name in board.metrics))
    identity = ("method", "ablation", "preset", "selection", "origin", "checkpoint")
    facts = (*identity, "text_tower", "scale", "config_hash", "fidelity")
    costs = ("oracle_gap", "parameters", "train_seconds", "test_frames_per_second")
    parts = ("mean", "sd", "low", "high")
    numbers = [name if part == "mean" else f"{name}_{part}" for name in metrics for part in parts]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    shared = ("dataset", "features", "feature_hash", "protocol", "videos", "frames")
    writer.writerow([*shared, "excluded", *facts, "seeds", *numbers, *costs, "published", "published_source"])
    for board in leaderboard.boards:
        for row in board.rows:
            reported = row.published.get(board.primary)
            writer.writerow(
                [
                    *(getattr(board, name) for name in shared),
                    len(board.excluded),
                    *(getattr(row, name) for name in facts),
                    " ".join(map(str, row.seeds)),
                    *(getattr(row.metrics.get(name), part, None) for name in metrics for part in parts),
                    *(getattr(row, name) for name in costs),
                    *((reported.value, reported.source) if reported else (None, None)),
                ]
            )
    return stream.getvalue()


def _cells(board: Board) -> tuple[list[str], list[list[str]]]:
    shown = [name for name in board.metrics if is_main(name) or name == board.primary]
    head = ["Method", "Selection", "Preset", "Text tower", "Seeds", *map(label, shown)]
    head += ["Oracle gap", "Published", "Parameters", "Training", "Frames/s", "Fidelity"]
    return head, [_row(board, row, shown) for row in board.rows]


def _row(board: Board, row: Row, shown: list[str]) -> list[str]:
    reported = row.published.get(board.primary)
    return [
        row.title,
        chosen(row.selection, row.origin),
        row.preset or "-",
        row.text_tower or "-",
        str(len(row.seeds)),
        *(_figure(row.metrics.get(name)) for name in shown),
        percent(row.oracle_gap),
        percent(reported.value) if reported else "-",
        count(row.parameters),
        duration(row.train_seconds),
        count(row.test_frames_per_second),
        row.fidelity or "-",
    ]


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    text = percent(figure.mean) + (f" ± {percent(figure.sd)}" if figure.sd is not None else "")
    return text + (f" [{percent(figure.low)}, {percent(figure.high)}]" if figure.low is not None else "")


def _md_facts(board: Board) -> str:
    left_out = f", {len(board.excluded)} without features left out" if board.excluded else ""
    return _md(
        f"{board.videos} test videos, {board.frames} frames{left_out}. Features {board.feature_hash[:12]}. Protocol: "
        f"{board.protocol}. Percent: mean ± sample sd over seeds [95% interval over test videos]. Ordered by "
        f"{label(board.primary)}."
    )


def _md_row(cells: list[str]) -> str:
    return "| " + " | ".join(map(_md, cells)) + " |"


def _md(text: str) -> str:
    """Text that Markdown shows as it is, also where a viewer renders HTML."""
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", html.escape(_line(text), quote=False))


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: "\\" + c for c in "&%$#_{}"}
    return "".join(special.get(c, c) for c in _line(text))


def _line(text: str) -> str:
    return " ".join(text.split())
