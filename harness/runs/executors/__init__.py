"""Where runs are computed: one small interface, three ways.

In come orders, out go events: progress, results, failures. Imports the two sides of a run and nothing above them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from harness.records.result import RunResult
    from harness.runs.order import Order


@dataclass(frozen=True)
class Said:
    """A line for the user."""

    text: str


@dataclass(frozen=True)
class Moved:
    """A run made progress: `done` of `total` steps."""

    run: str
    done: int
    total: int


@dataclass(frozen=True)
class Ended:
    """A run ended, well or in failure."""

    run: str
    result: RunResult


@dataclass(frozen=True)
class Unable:
    """Nothing can go on: the output directory cannot be written."""

    text: str


Event = Said | Moved | Ended | Unable
Tell = Callable[[Event], None]


class Executor(Protocol):
    """Computes orders, at most `slots` at a time, and tells what happens while it is polled."""

    slots: int

    def submit(self, order: Order) -> None:
        """Start an order; the caller has a free slot for it."""

    def poll(self, seconds: float) -> None:
        """Tell what happened; return after at most about so many seconds if nothing does."""

    def close(self) -> None:
        """End everything that still runs."""
