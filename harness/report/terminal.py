"""The leaderboard in a terminal, within 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from harness.console import Screen
from harness.printable import shortened
from harness.report.figures import amount, chosen, count, label, main_metrics, percent, place
from harness.report.leaderboard.board import Board, Figure, Row, Transfers
from harness.report.leaderboard.open_pairs import settled
from harness.report.leaderboard.transfer import TRANSFERS_WORDS, drop
from harness.report.throughput import paces

# Pairs at the top of a board that are spelled out.
SETTLED = 3

_SHORT = {
    "frame_auc": "AUC",
    "frame_ap": "AP",
    "abnormal_auc": "abn.\nAUC",
    "video_auc": "video\nAUC",
    "map_avg": "mAP",
    "base_frame_auc": "base\nAUC",
    "novel_frame_auc": "novel\nAUC",
    "harmonic_frame_auc": "harm.\nAUC",
    "causal_loss": "loss",
    "early_before_half": "by\nhalf",
    "early_delay_seconds": "delay\ns",
}


def print_leaderboard(boards: Sequence[Board], console: Screen) -> None:
    """Print one table per board to `console`: percentages, mean ± sd between seeds, intervals by source of chance."""
    for board in boards:
        table = Table(title=shortened(board.title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
        table.add_column("#", justify="right")
        table.add_column("method", overflow="fold", min_width=10)
        table.add_column("select", max_width=9)
        table.add_column("preset")
        table.add_column("n", justify="right")
        shown = {name: _SHORT[name] for name in main_metrics(board.metrics)}
        for name, heading in shown.items():
            table.add_column(heading + (" *" if name == board.primary else ""), justify="right", no_wrap=True)
        measured = any(row.stability is not None for row in board.rows)
        if measured:
            table.add_column("round.", justify="right", no_wrap=True)
        for heading in ("params", "train\ns", "frames\n/s"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in board.rows:
            table.add_row(
                place(row.rank, row.shared),
                shortened(_name(row)),
                chosen(row.selection, row.origin),
                shortened(row.preset or "-"),
                str(len(row.seeds)),
                *(_cell(name, row.metrics.get(name), name in ("frame_auc", board.primary)) for name in shown),
                *([percent(row.stability, 1)] if measured else []),
                count(row.parameters),
                "-" if row.train_seconds is None else f"{row.train_seconds:.1f}",
                "-" if row.pace is None else count(row.pace.frames_per_second) + " B" * (row.pace.measured == "bench"),
            )
        console.print(table)
        excluded = f", {len(board.excluded)} without features left out" if board.excluded else ""
        console.print(
            f"{board.videos} test videos{excluded}; percent, mean ± sd between n seeds; 95% intervals: m of the "
            "method, by seeds and test videos; v of these weights, by test videos alone; * decides the order; # rank, "
            "= shared" + ("; round.: points by which rounding alone moves the AUC at one seed" if measured else ""),
            style="dim",
        )
        if any(row.pace is not None and row.pace.measured == "bench" for row in board.rows):
            console.print(paces.words(board) + " B: bench", style="dim")
        for pair in board.open_pairs[:SETTLED]:
            console.print(settled(pair, board.primary))
        for caution in board.cautions:
            console.print(f"caution: {caution}", style="yellow")


def print_transfers(transfers: Transfers, console: Screen) -> None:
    """Print what methods that were trained on one data set do on others; nothing where none was."""
    if not transfers.cells:
        return
    table = Table(title="Across data sets", box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for heading in ("#", "method", "trained on", "tested on", "n", "value", "drop"):
        table.add_column(heading, justify="right" if heading in ("#", "n", "value") else "left")
    for cell in transfers.cells:
        value = f"{label(cell.metric)} {percent(cell.figure.mean)}"
        texts = map(shortened, (cell.title, cell.trained_on, cell.tested_on))
        table.add_row(place(cell.rank, cell.shared), *texts, str(cell.seeds), value, drop(cell))
    console.print(table)
    console.print(TRANSFERS_WORDS, style="dim")
    if transfers.average_ranks:
        console.print("average rank: " + ", ".join(f"{title} {rank:.2f}" for title, rank in transfers.average_ranks))


def _name(row: Row) -> str:
    name = f"{row.method} without {row.ablation}" if row.ablation else row.method
    name = name if row.arithmetic == "fp32" else f"{name} in {row.arithmetic}"
    return f"{name}\nunchecked" if row.unchecked else name


def _cell(metric: str, figure: Figure | None, full: bool) -> str:
    if figure is None:
        return "-"
    text = amount(metric, figure.mean)
    if full and figure.sd is not None:
        text += f" ± {amount(metric, figure.sd)}"
    if full and figure.low is not None and figure.high is not None:
        text += f"\nm [{percent(figure.low, 1)}, {percent(figure.high, 1)}]"
    if full and figure.videos_low is not None and figure.videos_high is not None:
        text += f"\nv [{percent(figure.videos_low, 1)}, {percent(figure.videos_high, 1)}]"
    return text
