"""The audit in a terminal, within 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

from harness.console import Screen
from harness.printable import shortened
from harness.report.audit.build import Audit, AuditRow
from harness.report.figures import label, percent, signed
from harness.report.leaderboard.board import Figure


def print_audits(audits: Sequence[Audit], console: Screen) -> None:
    """Print one table per board and its reading to `console`: percent and points, mean ± sd over seeds."""
    for audit in audits:
        table = Table(title=shortened(audit.title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
        table.add_column("method", overflow="fold", min_width=10)
        for heading in ("select", "preset"):
            table.add_column(heading)
        for heading in ("n", "last step", "best on\ntest", "bought", "at\nepoch", "looks", "by val"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in audit.rows:
            table.add_row(*_cells(row))
        console.print(table)
        units = f"{label(audit.primary)} in percent, what was bought in points; mean ± sd over n seeds."
        console.print(units, style="dim")
        console.print(audit.reading)


def _cells(row: AuditRow) -> Iterable[str]:
    yield from (
        shortened(row.name),
        row.selection,
        shortened(row.preset or "-"),
        str(len(row.seeds)),
        _figure(row.last),
    )
    if row.looked:
        yield from (_figure(row.best), _figure(row.bought, points=True))
        yield _several("?" if choice.epoch is None else str(choice.epoch) for choice in row.choices)
        yield _several(str(choice.looks) for choice in row.choices)
    else:
        yield from ("not looked", "-", "-", "-" if row.selection == "given" else "0")
    yield _figure(row.val)


def _figure(figure: Figure | None, points: bool = False) -> str:
    if figure is None:
        return "-"
    spread = "" if figure.sd is None else f" ± {percent(figure.sd)}"
    return (signed(figure.mean) if points else percent(figure.mean)) + spread


def _several(values: Iterable[str]) -> str:
    """The values of the seeds, in order; one if all are the same."""
    found = list(values)
    return found[0] if len(set(found)) == 1 else ",".join(found)
