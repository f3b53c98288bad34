"""What the verbs print with: results on standard output, logs and progress on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

# Redirected output has no width of its own; 80 columns would cut the leaderboard.
_WIDTH = 110
out = Console(width=None if Console().is_terminal else _WIDTH)
err = Console(stderr=True)

Tick = Callable[[int, int], None]


@contextmanager
def progress(description: str) -> Iterator[Tick]:
    """Yield a callback (done, total): a bar in a terminal, a plain line every tenth elsewhere, on standard error."""
    if err.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
            task = bar.add_task(description, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = 0

    def tick(done: int, total: int) -> None:
        nonlocal last
        tenth = 10 * done // max(total, 1)
        if tenth > last:
            last = tenth
            say(f"{description}: {done}/{total}")

    yield tick


def say(line: str) -> None:
    """Print one line of log to standard error, as it is."""
    err.print(line, markup=False, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output and nothing else."""
    print(json.dumps(value, indent=1, allow_nan=False))
