"""Numbers from papers, with their source. They stand beside ours and never rank anything."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache

from harness.paths import report_assets_dir


@dataclass(frozen=True)
class Published:
    """A number from a paper: a fraction in [0, 1], the features it was made with, its source.

    `doubtful`: no source is named, or it says itself that the number is unverified or disputed.
    """

    value: float
    feature: str
    venue: str
    source: str
    doubtful: bool = False


def published(method: str, dataset: str, features: str) -> dict[str, Published]:
    """Return the published number of each metric of `method` (its name in the table) on `dataset`.

    Several rows may match: those made with the same features come first, then those without a caveat in their source.
    """
    best: dict[str, tuple[tuple[bool, bool], Published]] = {}
    for row in _rows():
        if not method or (row["method"], row["dataset"]) != (method, dataset):
            continue
        same = row["feature"].lower().startswith(features.lower().split("-")[0])
        source = row["source"].strip().lower()
        doubtful = not source or any(word in source for word in ("warning", "unverified"))
        venue = f"{row['venue']} {row['year']}".strip()
        number = Published(float(row["value"]) / 100, row["feature"], venue, row["source"], doubtful)
        rank = (not same, doubtful)
        if row["metric"] not in best or rank < best[row["metric"]][0]:
            best[row["metric"]] = (rank, number)
    return {metric: number for metric, (_, number) in best.items()}


@cache
def _rows() -> tuple[dict[str, str], ...]:
    path = report_assets_dir() / "published.csv"
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))
