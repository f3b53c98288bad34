"""Runs in this process, one after another: for debuggers, and for tests that replace parts of it.

Nothing is isolated here: what a method does to its process it does to this command.
"""

from __future__ import annotations

from harness.errors import HarnessError
from harness.runs.executors import Moved, Said, Tell
from harness.runs.executors.ending import ended
from harness.runs.executors.perform import Failure, broken, perform
from harness.runs.method_side import Computed
from harness.runs.order import Order
from harness.runs.truth_side import Grounds

NO_ISOLATION = "--executor inline computes in this process: nothing that a method does to it is kept from other runs"


class InlineExecutor:
    """Computes an order when it is polled."""

    slots = 1

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._orders: list[Order] = []
        self._grounds = Grounds()
        self._warned = False

    def submit(self, order: Order) -> None:
        """Keep an order for the next poll."""
        if not self._warned:
            self._tell(Said(NO_ISOLATION))
            self._warned = True
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
            judge = self._grounds.judge(order)  # now: while a method runs the ground truth is withheld
        except HarnessError as error:
            found: Computed | Failure = broken(order, error)
        else:
            found = perform(order.placed(), judge, tick)
        self._tell(ended(order, found, self._grounds, lambda text: self._tell(Said(text))))
