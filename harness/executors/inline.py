"""Runs in this process, one after another: for debuggers, and for tests that replace parts of it."""

from __future__ import annotations

from harness.errors import Unwritable
from harness.executors import Ended, Moved, Said, Tell, Unable
from harness.executors.perform import perform
from harness.order import Order


class InlineExecutor:
    """Computes an order when it is polled."""

    slots = 1

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._orders: list[Order] = []

    def submit(self, order: Order) -> None:
        """Keep an order for the next poll."""
        self._orders.append(order)

    def poll(self, seconds: float) -> None:
        """Compute what was submitted, however long it takes."""
        while self._orders:
            self._compute(self._orders.pop(0))

    def close(self) -> None:
        """Nothing runs between polls."""
        self._orders.clear()

    def _compute(self, order: Order) -> None:
        def tick(done: int, total: int) -> None:
            self._tell(Moved(order.run, done, total))

        try:
            result = perform(order, lambda text: self._tell(Said(text)), tick)
        except Unwritable as error:
            self._tell(Unable(str(error)))
        else:
            self._tell(Ended(order.run, result))
