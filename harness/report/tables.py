"""Leaderboards as plain tables: Markdown and LaTeX for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from typing import Any

from harness.report.figures import amount, chosen, count, duration, label, main_metrics, percent, place
from harness.report.leaderboard.board import Board, Figure, Leaderboard, Row, Transfers
from harness.report.leaderboard.open_pairs import settled
from harness.report.leaderboard.transfer import TRANSFERS_WORDS, drop
from harness.report.quoting import csv_cell, md_head, md_row, md_text, tex_text
from harness.report.throughput import paces
from harness.report.throughput import tables as speeds


def markdown(leaderboard: Leaderboard) -> str:
    """Return one Markdown table per board: percentages, mean ± sd between seeds, intervals by source of chance."""
    lines = ["# Leaderboard", ""]
    if leaderboard.notices:
        lines += [*(f"> {md_text(notice)}" for notice in leaderboard.notices), ""]
    for board in leaderboard.boards:
        head, rows = _cells(board)
        lines += [f"## {md_text(board.title)}", "", _md_facts(board), ""]
        lines += [f"> {md_text(caution)}" for caution in board.cautions] + [""]
        lines += [
            *md_head(head, ["---", "---:", "---", "---", "---", *["---:"] * (len(head) - 5)]),
            *map(md_row, rows),
            "",
            *(f"- {md_text(settled(pair, board.primary))}" for pair in board.open_pairs),
            "",
        ]
    lines += _md_transfers(leaderboard.transfers)
    lines += speeds.markdown(leaderboard.throughput)
    if leaderboard.failures:
        lines += [
            "## Failed runs",
            "",
            *(f"- {md_text(f.run)}: {md_text(f.error)}" for f in leaderboard.failures),
            "",
        ]
    return "\n".join(lines)


def _md_transfers(transfers: Transfers) -> list[str]:
    if not transfers.cells:
        return []
    lines = ["## Across data sets", "", md_text(TRANSFERS_WORDS), ""]
    lines += md_head(["method", "trained on", "tested on", "metric", "seeds", "value", "drop"], ["---"] * 7)
    for cell in transfers.cells:
        facts = [cell.title, cell.trained_on, cell.tested_on, label(cell.metric), str(cell.seeds)]
        lines.append(md_row([*facts, percent(cell.figure.mean), drop(cell)]))
    ranks = ", ".join(f"{title} {rank:.2f}" for title, rank in transfers.average_ranks)
    return [*lines, "", *([f"Average rank: {md_text(ranks)}", ""] if ranks else [])]


def latex(leaderboard: Leaderboard) -> str:
    """Return one booktabs table per board, for the `booktabs` package alone.

    Best mean of a column in bold, second underlined; ± the sample deviation between seeds, as subscript the 95%
    interval of the method, as superscript that of these weights over test videos alone. Rows that chose their weights
    on the test set and rows of one seed are neither.
    """
    return "\n".join([r"% \usepackage{booktabs}", *map(_tex_table, leaderboard.boards)])


def _tex_table(board: Board) -> str:
    shown = [name for name in board.metrics if name in (*main_metrics(board.metrics), board.primary)]
    order = {name: _best_two(board, name) for name in shown}
    references = [row.published.get(board.primary) for row in board.rows]
    lines = [["Rank", "Method", "Selection", "Seeds", *(tex_text(label(name)) for name in shown), "Published"]]
    for row, reported in zip(board.rows, references, strict=True):
        mark = r"$^{?}$" if reported and reported.doubtful else ""
        lines.append(
            [
                "--" if row.rank is None else place(row.rank, row.shared),
                tex_text(row.title) + (r"$^{\dagger}$" if row.unchecked else ""),
                tex_text(chosen(row.selection, row.origin)),
                str(len(row.seeds)),
                *(_tex_figure(name, row.metrics.get(name), order[name]) for name in shown),
                percent(reported.value) + mark if reported else "--",
            ]
        )
    if not any(references):
        lines = [line[:-1] for line in lines]
    head, *body = [" & ".join(line) + r" \\" for line in lines]
    primary = tex_text(label(board.primary))
    caption = (
        f"{tex_text(board.title)}: {board.videos} test videos, percent, mean $\\pm$ sample deviation between seeds. "
        "95\\% intervals: subscript of the method, by seeds and test videos; superscript of these weights, by test "
        f"videos alone. Best in bold, second underlined, ordered by {primary}; rows "
        "of equal rank (=) cannot be told apart. One seed makes no claim and has no rank."
    )
    if any(row.unchecked for row in board.rows):
        caption += r" $\dagger$: not known to have passed the shared check of methods."
    if any(reported and reported.doubtful for reported in references):
        caption += " Published numbers marked ? are unverified."
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{2.5pt}",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{rll{'r' * (len(lines[0]) - 3)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _best_two(board: Board, metric: str) -> list[float]:
    """The two highest means, as printed, of the methods that did not look at the test set."""
    honest = [row.metrics.get(metric) for row in board.rows if row.honest and row.claim == "method"]
    return sorted({round(figure.mean, 4) for figure in honest if figure is not None}, reverse=True)[:2]


def _tex_figure(metric: str, figure: Figure | None, best: list[float]) -> str:
    if figure is None:
        return "--"
    place = best.index(round(figure.mean, 4)) if round(figure.mean, 4) in best else -1
    text = {0: r"\mathbf{%s}", 1: r"\underline{%s}"}.get(place, "%s") % amount(metric, figure.mean)
    spread = rf"\pm{amount(metric, figure.sd)}" if figure.sd is not None else ""
    low = f"_{{[{percent(figure.low, 1)},\\,{percent(figure.high, 1)}]}}" if figure.low is not None else ""
    videos = (
        f"^{{[{percent(figure.videos_low, 1)},\\,{percent(figure.videos_high, 1)}]}}"
        if figure.videos_low is not None
        else ""
    )
    return f"${text}{spread}{low}{videos}$"


def columns_and_rows(leaderboard: Leaderboard) -> tuple[list[str], list[list[Any]]]:
    """Return one flat table of all boards: names of its columns, and a row per row, fractions in full precision."""
    metrics = list(dict.fromkeys(name for board in leaderboard.boards for name in board.metrics))
    identity = (
        "rank",
        "shared",
        "claim",
        "method",
        "family",
        "ablation",
        "preset",
        "selection",
        "origin",
        "checkpoint",
    )
    facts = (*identity, "arithmetic", "text_tower", "scale", "config_hash", "fidelity", "unchecked")
    costs = ("stability", "oracle_gap", "parameters", "train_seconds", "test_frames_per_second")
    parts = ("mean", "sd", "low", "high", "videos_low", "videos_high")
    numbers = [name if part == "mean" else f"{name}_{part}" for name in metrics for part in parts]
    shared = ("dataset", "features", "feature_hash", "protocol", "videos", "frames")
    paced = ("frames_per_second", "frames_per_second_from", "frames_per_second_on")
    reference = ("published", "published_source", "unverified")
    rows: list[list[Any]] = []
    for board in leaderboard.boards:
        for row in board.rows:
            reported = row.published.get(board.primary)
            cells = [
                *(getattr(board, name) for name in shared),
                len(board.excluded),
                *(getattr(row, name) for name in facts),
                " ".join(map(str, row.seeds)),
                *(getattr(row.metrics.get(name), part, None) for name in metrics for part in parts),
                *(getattr(row, name) for name in costs),
                *(getattr(row.pace, name, None) for name in ("frames_per_second", "measured", "where")),
                *((reported.value, reported.source, reported.doubtful) if reported else (None, None, None)),
            ]
            rows.append(cells)
    return [*shared, "excluded", *facts, "seeds", *numbers, *costs, *paced, *reference], rows


def comma_separated(leaderboard: Leaderboard) -> str:
    """Return one CSV for all boards, see `columns_and_rows`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns, rows = columns_and_rows(leaderboard)
    for cells in (columns, *rows):
        writer.writerow(map(csv_cell, cells))
    return stream.getvalue()


def _cells(board: Board) -> tuple[list[str], list[list[str]]]:
    shown = [name for name in board.metrics if name in (*main_metrics(board.metrics), board.primary)]
    head = ["Method", "Rank", "Selection", "Preset", "Text tower", "Seeds", *map(label, shown)]
    head += ["Rounding", "Oracle gap", "Published", "Parameters", "Training", "Frames/s", "Fidelity"]
    return head, [_row(board, row, shown) for row in board.rows]


def _row(board: Board, row: Row, shown: list[str]) -> list[str]:
    reported = row.published.get(board.primary)
    return [
        f"{row.title} (unchecked)" if row.unchecked else row.title,
        "one seed, no claim"
        if row.rank is None and row.honest and row.claim == "weights"
        else place(row.rank, row.shared),
        chosen(row.selection, row.origin),
        row.preset or "-",
        row.text_tower or "-",
        str(len(row.seeds)),
        *(_figure(name, row.metrics.get(name)) for name in shown),
        percent(row.stability),
        percent(row.oracle_gap),
        percent(reported.value) if reported else "-",
        count(row.parameters),
        duration(row.train_seconds),
        f"{count(row.pace.frames_per_second)} ({row.pace.measured})" if row.pace else "-",
        row.fidelity or "-",
    ]


def _figure(metric: str, figure: Figure | None) -> str:
    if figure is None:
        return "-"
    text = amount(metric, figure.mean) + (f" ± {amount(metric, figure.sd)}" if figure.sd is not None else "")
    text += f" [{percent(figure.low)}, {percent(figure.high)}]" if figure.low is not None else ""
    if figure.videos_low is not None:
        text += f" videos [{percent(figure.videos_low)}, {percent(figure.videos_high)}]"
    return text


def _md_facts(board: Board) -> str:
    left_out = f", {len(board.excluded)} without features left out" if board.excluded else ""
    return md_text(
        f"{board.videos} test videos, {board.frames} frames{left_out}. Features {board.feature_hash[:12]}. Protocol: "
        f"{board.protocol}. Percent: mean ± sample sd between seeds [95% interval of the method, by seeds and test "
        "videos] videos [95% interval of these weights, by test videos alone]; one seed makes no claim; "
        "rounding: how far it alone moves the frame AUC at one seed, in points; fp32 unless a "
        f"name says otherwise. Ordered by {label(board.primary)}. {paces.words(board)}"
    )
