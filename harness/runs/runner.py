"""From a matrix to finished runs: skip what is done, resume what was cut off, isolate what fails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.errors import Unwritable
from harness.io.atomic import check_room, tidy
from harness.io.interrupts import without_interrupts
from harness.records.result import RunResult
from harness.records.run_directory import RECORD, open_run
from harness.runs.claims import Claims
from harness.runs.executors import Ended, Event, Executor, Moved, Said, Tell
from harness.runs.matrix import Plan
from harness.runs.order import Order
from harness.tracking.tracker import Tracker

Open = Callable[[Tell], Executor]
# Seconds between two looks at runs that another command computes.
ELSEWHERE = 2.0


class Display(Protocol):
    """What the user sees while runs are computed."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def started(self, order: Order) -> None:
        """A run started."""

    def moved(self, run: str, done: int, total: int) -> None:
        """A run made progress."""

    def ended(self, result: RunResult) -> None:
        """A run ended, or was found finished."""


@dataclass
class _State:
    """What is known of the runs of one command."""

    waiting: deque[Order]
    running: dict[str, Order]
    elsewhere: list[Order]
    results: dict[str, RunResult]
    unsent: deque[RunResult] = field(default_factory=deque)
    looked: float = 0.0

    @property
    def open(self) -> bool:
        return bool(self.waiting or self.running or self.elsewhere)


def run_plan(
    plan: Plan, open_executor: Open, tracker: Tracker, display: Display, open_for_retests: Open | None = None
) -> list[RunResult]:
    """Compute every run of the plan that is not finished yet, and record all in MLflow.

    A run that fails fails alone. A run that another command computes at the same time is waited for, or taken over if
    that command dies. What tests a run again follows once all have trained, in an executor on this machine
    (`open_for_retests`, where the other is not). Returns one result per run, in the plan's order, refused ones last.

    Raises:
        Unwritable: the output directory refused a write; what is finished stays.
    """
    for line in (*plan.left_out, *plan.notes):
        display.say(line)
    results = compute_orders(plan.orders, open_executor, tracker.out, display, tracker.send, tracker.import_mlflow)
    there = {result.id for result in results if result.status != "failed"}
    again = [order for order in plan.retests if order.source is not None and order.source.run in there]
    if again:
        open_again = open_for_retests or open_executor
        results += compute_orders(again, open_again, tracker.out, display, tracker.send, tracker.import_mlflow)
    for refused in plan.refused:
        tracker.record_failure(refused)
    for problem in tracker.sync():
        display.say(problem)
    return [*results, *plan.refused]


def compute_orders(
    orders: Sequence[Order],
    open_executor: Open,
    out: Path,
    display: Display,
    send: Callable[[RunResult], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> list[RunResult]:
    """Compute the orders below `out` that are not finished yet, and `send` each result; return one result per order.

    Once, while the first workers start, `meanwhile` is called.

    Raises:
        Unwritable: the output directory refused a write; what is finished stays.
    """
    if orders and not any(order.fresh or not (order.directory / RECORD).exists() for order in orders):
        return [_finished(order, display) for order in orders]  # for which no process has to start
    check_room(out)  # rather than after an hour of computing
    state = _State(deque(orders), {}, [], {})
    stop: list[str] = []

    def tell(event: Event) -> None:
        if isinstance(event, Said):
            display.say(event.text)
        elif isinstance(event, Moved):
            display.moved(event.run, event.done, event.total)
        elif isinstance(event, Ended):
            del state.running[event.run]
            state.results[event.run] = event.result
            claims.release(event.run)
            state.unsent.append(event.result)
            display.ended(event.result)
        else:
            stop.append(event.text)

    executor = open_executor(tell)
    with Claims(out / ".claims") as claims:
        try:
            loaded = False
            while state.open and not stop:
                _fill(state, executor, claims, display)
                if state.running and not loaded:
                    loaded = True
                    with without_interrupts():  # which Python would print in the middle of an import
                        meanwhile()
                if state.unsent:  # the workers compute meanwhile
                    send(state.unsent.popleft())
                elif state.running:
                    executor.poll(0.5)
                elif state.elsewhere:
                    time.sleep(ELSEWHERE)
        except KeyboardInterrupt:
            for cut in state.running:
                display.say(f"{cut}: interrupted; the same command continues from its last epoch")
            raise
        finally:
            executor.close()
            for result in state.unsent:
                send(result)
    if stop:
        raise Unwritable(stop[0])
    return [state.results[order.run] for order in orders]


def _fill(state: _State, executor: Executor, claims: Claims, display: Display) -> None:
    """Start runs while there are free slots."""
    if state.elsewhere and time.monotonic() - state.looked > ELSEWHERE:
        state.waiting.extend(state.elsewhere)
        state.elsewhere.clear()
        state.looked = time.monotonic()
    while state.waiting and len(state.running) < executor.slots:
        order = state.waiting.popleft()
        known = order.run in state.results
        if not claims.take(order.run):
            if not known:
                display.say(f"{order.run}: another command computes it; waiting for it")
                state.results[order.run] = RunResult.of(order.spec, "skipped", directory=str(order.directory))
            state.elsewhere.append(order)
            continue
        tidy(order.directory)
        # Looked at with the claim in hand: nobody can finish it meanwhile. What another command has just computed
        # is not computed again, even with --rerun.
        if (order.directory / RECORD).exists() and (known or not order.fresh):
            claims.release(order.run)
            state.results[order.run] = _finished(order, display, known)
            continue
        state.running[order.run] = order
        display.started(order)
        executor.submit(order)


def _finished(order: Order, display: Display, known: bool = False) -> RunResult:
    """Show and return the result of a finished run; one that is `known` was waited for."""
    result = stored(order)
    if not known:
        display.say(f"{order.run}: already finished, skipped (use --rerun to compute it again)")
    display.ended(result)
    return result


def stored(order: Order) -> RunResult:
    """The result of a finished run, marked as skipped."""
    return open_run(order.directory).result.model_copy(update={"status": "skipped", "directory": str(order.directory)})
