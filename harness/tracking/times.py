"""When a run and its epochs were, in milliseconds since 1970, as its directory says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.records.history import Epoch
from harness.records.log_lines import moment_of
from harness.records.result import RunResult
from harness.records.run_directory import RECORD


class Times(NamedTuple):
    """When a run started and ended."""

    started: int
    ended: int


def times_of(result: RunResult, directory: Path | None) -> Times:
    """Return when a run was: as it says, else by its log, else by the file of its record and what it took.

    A result without a directory that does not say it is of now.
    """
    if result.started and result.ended:
        return Times(result.started, max(result.started, result.ended))
    if directory is None:
        now = int(1000 * time.time())
        return Times(min(result.started or now, now), now)
    return _logged(directory / "log.txt") or _written(result, directory / RECORD)


def epoch_ends(epochs: Sequence[Epoch], result: RunResult, times: Times) -> list[int]:
    """Return when each epoch ended: the test set was predicted after the last, and each took its seconds.

    Epochs of an earlier, interrupted attempt count as ended when this one started.
    """
    if any(epoch.seconds is None for epoch in epochs):
        return [times.ended] * len(epochs)
    end = times.ended - 1000 * (result.cost.predict_seconds if result.cost else 0.0)
    found = []
    for epoch in reversed(epochs):
        found.append(min(max(times.started, round(end)), times.ended))
        end -= 1000 * (epoch.seconds or 0.0)
    return found[::-1]


def _logged(path: Path) -> Times | None:
    """When the first and the last line of a log were written, which begin with the local time."""
    with contextlib.suppress(OSError, ValueError, OverflowError):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        first, last = (moment_of(line) for line in (lines[0], lines[-1]))
        return Times(first, last) if first <= last else None
    return None


def _written(result: RunResult, path: Path) -> Times:
    ended = int(1000 * path.stat().st_mtime)
    return Times(ended - round(1000 * (result.cost.wall_seconds if result.cost else 0.0)), ended)
