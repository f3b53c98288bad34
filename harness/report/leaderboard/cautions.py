"""What a reader of a board must know of its rows."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.leaderboard.board import Board, Row


def of_rows(rows: Sequence[Row]) -> list[str]:
    """Return the cautions that follow from which rows stand together, and from what each of them is."""
    found = []
    if not all(row.honest for row in rows):
        found.append(
            "Rows with selection oracle or paper chose their weights on the test set; only last and val did not."
        )
    if single := [row.title for row in rows if row.honest and row.claim == "weights"]:
        found.append(
            f"One seed, no claim: {', '.join(dict.fromkeys(single))}. Their numbers speak of these weights; a "
            "statement about the method takes several seeds (--seeds 0,1,2)."
        )
    if names := ", ".join(dict.fromkeys(row.method for row in rows if row.unchecked)):
        found.append(f"Unchecked: {names}. Not known to have passed `harness check-method` with the code of its rows.")
    if names := ", ".join(dict.fromkeys(row.title for row in rows if row.origin == "imported")):
        found.append(f"Imported scores: {names}. How they came about is known from their source alone.")
    if any(row.checkpoint for row in rows):
        found.append("Given weights come from checkpoints: what they saw and how they were chosen is not known here.")
    if any(len(row.code) > 1 for row in rows):
        mixed = ", ".join(row.method for row in rows if len(row.code) > 1)
        found.append(f"Seeds of one row were computed by different versions of the code: {mixed}.")
    machines = {(row.provenance.get("processor"), row.provenance.get("gpu")) for row in rows}
    if len(machines) > 1:
        found.append("Rows come from different machines; do not compare their times.")
    return found


def of_boards(board: Board) -> list[str]:
    """Return the cautions of a board that do not come from its rows: they hold for the page of each of its runs."""
    every = of_rows(board.rows)
    return [line for line in board.cautions if line not in every]
