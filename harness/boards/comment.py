"""The answer to a pull request, in Markdown: verdict, reasons, and the boards that it changes, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.boards.check import Checked
from harness.boards.index import Board, Placed
from harness.report.figures import amount, label
from harness.report.quoting import md_text

# Rows that are shown of a board without new ones, and around each new one of a long board.
_FIRST, _AROUND = 5, 3
_LISTED = 50


def markdown(found: Checked) -> str:
    """Return the comment. Whatever strangers wrote is shown as text: no markup, no mention, no link of theirs."""
    lines = ["## This holds" if not found.problems else "## This does not hold", ""]
    for problem in found.problems[:_LISTED]:
        lines.append(f"- {_text(problem)}")
    if len(found.problems) > _LISTED:
        lines.append(f"- {len(found.problems) - _LISTED} more")
    lines += [f"- To be looked at: {_text(note)}" for note in found.notes[:_LISTED]]
    if not found.problems and not found.added:
        lines.append("No submission is added.")
    for record in found.added:
        said = record.statement
        who = f"{_text(said.method)} by {_text(said.team)}" if said else "without a statement"
        state = "verified" if record.verified else f"not verified: {_text('; '.join(record.unverified))}"
        lines += ["", f"**{record.id}**, {who}: {state}", ""]
        for row in record.rows:
            why = f" ({_text('; '.join(row.reasons))})" if row.reasons else ""
            badges = f"; {_text(', '.join(row.badges))}" if row.badges else ""
            seeds = f"{len(row.seeds)} seed{'s' if len(row.seeds) > 1 else ''}"
            lines.append(f"- {_text(row.title)}, {_text(row.selection)}, {seeds}: {row.division} division{why}{badges}")
    new = {record.id for record in found.added}
    earlier = {(board.key, board.division): board for board in found.before}
    for board in found.after:
        lines += ["", f"### {_text(board.title)}, {board.division} division", ""]
        if (old := earlier.get((board.key, board.division))) is not None:
            lines += ["Before:", "", *_table(old, set()), "", "After:", ""]
        else:
            lines += ["A new board:", ""]
        lines += _table(board, new)
    return "\n".join([*lines, ""])


def _table(board: Board, new: set[str]) -> Iterator[str]:
    metric = board.primary
    yield f"| rank | method | team | seeds | {_text(label(metric))} | 95% interval | submission |"
    yield "|---:|---|---|---:|---:|---|---|"
    shown = _shown(board.rows, new)
    last = -1
    for index in shown:
        if index > last + 1:
            yield f"| … | {index - last - 1} more | | | | | |"
        last = index
        yield _row(board.rows[index], metric, board.rows[index].record.id in new)
    if last + 1 < len(board.rows):
        yield f"| … | {len(board.rows) - last - 1} more | | | | | |"


def _shown(rows: Sequence[Placed], new: set[str]) -> list[int]:
    """The first rows, and those around the new ones."""
    kept = set(range(min(_FIRST, len(rows))))
    for index, placed in enumerate(rows):
        if placed.record.id in new:
            kept |= set(range(max(index - _AROUND, 0), min(index + _AROUND + 1, len(rows))))
    return sorted(kept)


def _row(placed: Placed, metric: str, new: bool) -> str:
    row, figure, said = placed.row, placed.row.figures.get(metric), placed.record.statement
    value, reach = "-", ""
    if figure is not None:
        value = amount(metric, figure.mean) + (f" ± {amount(metric, figure.sd)}" if figure.sd is not None else "")
        if figure.low is not None and figure.high is not None:
            reach = f"{amount(metric, figure.low)} to {amount(metric, figure.high)}"
    name = _text(said.method if said else row.title)
    cells = (
        placed.place if placed.rank is not None else f"- ({placed.unranked})",
        f"**{name}** (new)" if new else name,
        _text(said.team) if said else "-",
        str(len(row.seeds)),
        value,
        reach,
        placed.record.id,
    )
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Text of anybody as Markdown shows it as it is, also where GitHub would make links and mentions of it."""
    shown = md_text(text)
    # A joiner of no width keeps addresses, names of users and numbers of issues from becoming links.
    for sign in ("@", "://", "www."):
        shown = shown.replace(sign, f"{sign[:1]}\u2060{sign[1:]}")
    return shown
