"""Ranks of the rows of a board: rows that cannot be told apart from the best of their group share a rank.

A rank is a claim about a method, so a row with one seed has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.errors import HarnessError
from harness.metrics.paired import holm
from harness.report.leaderboard.uncertainty import Artifact, Resamples
from harness.tracking.tracker import TrackedRun

LEVEL = 0.05
Runs = tuple[TrackedRun, ...]


def ranks(rows: Sequence[Runs], primary: str, resamples: Resamples) -> list[int | None]:
    """Return the rank of each row, best first; None for rows of one seed and rows whose predictions are missing.

    `rows` holds the runs (seeds) of each row, best mean of `primary` first. Everyone is None where that metric has no
    test.

    Raises:
        UserError: predictions are not of this test set.
    """

    def p_value(one: Runs, other: Runs) -> float | None:
        found = resamples.difference(one, other, primary)
        return None if found is None else found.p_value

    there = [index for index, runs in enumerate(rows) if len(runs) > 1 and _there(runs, resamples.artifact)]
    found: list[int | None] = [None] * len(rows)
    for index, rank in zip(there, grouped([rows[index] for index in there], p_value), strict=True):
        found[index] = rank
    return found


def grouped(rows: Sequence[Runs], p_value: Callable[[Runs, Runs], float | None]) -> list[int | None]:
    """Return the ranks of `rows`, best first; all None where a p-value is not defined."""

    def p_values(best: int) -> list[float] | None:
        found = [p_value(rows[best], row) for row in rows[best + 1 :]]
        values = [value for value in found if value is not None]
        return values if len(values) == len(found) else None

    return in_groups(len(rows), p_values)


def in_groups(count: int, p_values: Callable[[int], Sequence[float] | None]) -> list[int | None]:
    """Return the ranks of `count` rows, best first; all None where a p-value is not defined.

    A group starts with its best row and takes in the next ones until one differs from it, at 5% after Holm's
    correction for all the rows below. The next group's rank counts the rows before it.

    Args:
        count: how many rows there are.
        p_values: those of one row against each row below it, in order; None where one is not defined.
    """
    found: list[int | None] = []
    while len(found) < count:
        values = p_values(len(found))
        if values is None:
            return [None] * count
        same = next((index for index, value in enumerate(holm(values)) if value < LEVEL), len(values))
        found += [len(found) + 1] * (same + 1)
    return found


def _there(runs: Runs, artifact: Artifact) -> bool:
    try:
        return all(artifact(run, "predictions.npz").is_file() for run in runs)
    except HarnessError:
        return False
