"""The progress of many runs: one line per running job in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from harness.console import err, say
from harness.printable import printable, shortened
from harness.records.result import RunResult
from harness.runs.estimate import Estimates
from harness.runs.order import Order

# Failures kept in sight below the running jobs.
SHOWN = 5


class Live:
    """What `harness run` shows on standard error while it computes `orders`; a context manager."""

    def __init__(self, orders: tuple[Order, ...], estimates: Estimates, jobs: int) -> None:
        self._estimates = estimates
        self._jobs = jobs
        self._open = {order.run: order for order in orders}
        self._all = len(orders)
        self._failed: list[str] = []
        self._began: dict[str, float] = {}
        self._done: dict[str, tuple[int, int]] = {}
        self._lines: dict[str, int] = {}
        self._screen: Any = None

    def __enter__(self) -> Live:
        if err.is_terminal:
            from rich.live import Live as Screen

            self._screen = Screen(console=err, get_renderable=self._picture, refresh_per_second=4, transient=True)
            self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen is not None:
            self._screen.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        say(text)

    def started(self, order: Order) -> None:
        """A run started."""
        self._began[order.run] = time.monotonic()

    def moved(self, run: str, done: int, total: int) -> None:
        """A run made progress: its line moves, or a plain line is printed every tenth of the way."""
        self._done[run] = (done, total)
        tenth = 10 * done // max(total, 1)
        if self._screen is None and tenth > self._lines.get(run, 0):
            self._lines[run] = tenth
            say(f"{run}: {done}/{total}")

    def ended(self, result: RunResult) -> None:
        """A run ended, or was found finished."""
        self._open.pop(result.id, None)
        self._began.pop(result.id, None)
        if result.status == "failed":
            self._failed.append(f"{result.id}: {result.error}")
        elif result.status == "ok":
            self._estimates.add(result)
        if self._screen is None and result.status != "skipped" and self._all > 1:
            say(f"{result.id}: {result.status}, {self._all - len(self._open)} of {self._all}{self._left()}")

    def _left(self) -> str:
        """How long the rest takes, where that is known of every run."""
        from harness.report.figures import duration

        seconds = self.remaining()
        return "" if seconds is None or not self._open else f", about {duration(seconds)} left"

    def remaining(self) -> float | None:
        """Seconds to the end if the jobs share the rest evenly, None while a kind of run is unknown."""
        rest = 0.0
        for run, order in self._open.items():
            expected, now = self._estimates.seconds(order.spec), time.monotonic()
            spent = now - self._began[run] if run in self._began else 0.0
            done, total = self._done.get(run, (0, 0))
            if done and run in self._began:
                expected = spent * total / done
            if expected is None:
                return None
            rest += max(expected - spent, 0.0)
        return rest / self._jobs

    def _picture(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        from harness.report.figures import duration

        table = Table.grid(padding=(0, 1))
        for run, began in self._began.items():
            done, total = self._done.get(run, (0, 0))
            bar = ProgressBar(total=total or None, completed=done, width=24, pulse=not total)
            table.add_row(
                Text(shortened(run, 120)), bar, f"{done}/{total}" if total else "", duration(time.monotonic() - began)
            )
        summary = f"{self._all - len(self._open)} of {self._all} runs{self._left()}"
        return Group(
            table, Text(summary), *(Text(f"failed: {printable(line)}", style="red") for line in self._failed[-SHOWN:])
        )
