"""What the verbs print with: results on standard output, logs and progress on standard error.

Everything that is printed comes through here, where names and texts of others are made printable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.printable import printable, shortened

# Redirected output has no width of its own; 80 columns would cut the leaderboard.
_WIDTH = 110


class Screen(Console):
    """A console that shows text as it is: no markup and no emoji names are read in it, and no control codes pass."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return what is shown for every string that is printed, also in cells and titles of tables."""
        return super().render_str(printable(text, keep="\n"), **options)


out = Screen(width=None if Console().is_terminal else _WIDTH)
err = Screen(stderr=True)

Tick = Callable[[int, int], None]


@contextmanager
def progress(description: str) -> Iterator[Tick]:
    """Yield a callback (done, total): a bar in a terminal, a plain line every tenth elsewhere, on standard error."""
    description = shortened(description)
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
    err.print(printable(line), soft_wrap=True)


def tell(line: str) -> None:
    """Print one line of a result to standard output, as it is."""
    print(printable(line), flush=True)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output and nothing else."""
    print(json.dumps(value, indent=1, allow_nan=False))
