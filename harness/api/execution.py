"""Compute a planned matrix and publish what it gave: what `harness run` and `harness.run` share."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from harness.errors import Damaged, UserError
from harness.records.spec import RunResult
from harness.report.leaderboard.board import Leaderboard
from harness.report.publish import publish
from harness.runs import runner
from harness.runs.estimate import Estimates
from harness.runs.matrix import Plan
from harness.runs.order import Order
from harness.runs.runner import Display, Open
from harness.runs.stability import Grid, measure
from harness.tracking.rounding_spread import Spread
from harness.tracking.tracker import Tracker, TrackingError

# Shows the progress of some runs: what it is given are the runs, how long they should take, and how many go at a time.
Shown = Callable[[tuple[Order, ...], Estimates, int], AbstractContextManager[Display]]


@dataclass(frozen=True)
class Execution:
    """How the runs of a plan are computed; nothing here changes their numbers.

    `jobs` runs go at a time. `timeout` is in seconds and `memory_limit` in bytes, of one run with all its processes.
    `gpus` are those of one run under Ray. `stability` computes each run's variants that only round otherwise.
    """

    out: Path = Path("runs")
    tracking_uri: str | None = None
    executor: Literal["local", "ray", "inline"] = "local"
    jobs: int = 1
    timeout: float | None = None
    memory_limit: int | None = None
    ray_address: str | None = None
    gpus: float = 0.0
    stability: Literal["full", "quick"] | None = None

    def check(self) -> None:
        """Raise UserError where an executor is asked for what it cannot do."""
        if self.stability is not None and self.executor != "local":
            raise UserError(
                f"--stability with --executor {self.executor}: variants need processes of their own; use local"
            )
        if self.memory_limit is not None and self.executor != "local":
            raise UserError(
                f"--memory-limit with --executor {self.executor}: only the local executor watches it; use local"
            )
        if self.executor == "inline" and (self.jobs > 1 or self.timeout is not None):
            raise UserError("--executor inline: one run at a time and no --timeout; use --executor local")

    def opener(self) -> Open:
        """Return what opens the executor."""
        if self.executor == "inline":
            from harness.runs.executors.inline import InlineExecutor

            return InlineExecutor
        if self.executor == "ray":
            from harness.runs.executors.ray import RayExecutor

            return lambda tell: RayExecutor(tell, self.ray_address, self.gpus, self.timeout)
        from harness.runs.executors.local import LocalExecutor

        return lambda tell: LocalExecutor(tell, self.jobs, self.timeout, self.memory_limit)


@dataclass(frozen=True)
class Executed:
    """What became of a plan: a result per run, the leaderboards of the whole store, the files of the report.

    `problems` has one line for whatever did not end well; the command exits with 1 if there is any.
    """

    results: tuple[RunResult, ...]
    leaderboard: Leaderboard
    files: tuple[Path, ...]
    spreads: tuple[Spread, ...]
    problems: tuple[str, ...]


def threads_of_a_run(jobs: int) -> int:
    """Return the threads of one run: what OMP_NUM_THREADS says, else an equal share of the cores."""
    import torch

    return torch.get_num_threads() if os.environ.get("OMP_NUM_THREADS") else max(torch.get_num_threads() // jobs, 1)


def execute(plan: Plan, execution: Execution, shown: Shown) -> Executed:
    """Compute the runs of a plan that are not finished, record all, and write the report.

    A run that fails fails alone, and a store that cannot be reached is a problem, not an error: the runs are on disk,
    and the next command sends them.

    Raises:
        UserError: the execution asks an executor for what it cannot do.
        Unwritable: the output directory refused a write; what is finished stays.
    """
    execution.check()
    out, jobs = execution.out, min(execution.jobs, max(len(plan.orders), 1))
    tracker, opener = Tracker(execution.tracking_uri, out), execution.opener()
    with shown(plan.orders, Estimates(out), jobs) as display:
        results = runner.run(plan, opener, tracker, display)
    problems = [f"{each.method} seed {each.seed}: {each.error}" for each in results if each.status == "failed"]
    leaderboard, files, spreads = Leaderboard(()), list[Path](), list[Spread]()
    try:
        if execution.stability is not None:
            variants = partial(shown, estimates=Estimates(out), jobs=jobs)  # type: ignore[call-arg]
            spreads = measure(plan.orders, Grid(execution.stability == "quick"), opener, tracker, variants)
        leaderboard, files = publish(tracker, directory=out / "report")
        problems += [f"missing from the leaderboard: {line}" for line in leaderboard.missing]
    except (TrackingError, Damaged) as error:
        problems.append(str(error))
    problems += [f"{each.method} seed {each.seed}: {each.words}" for each in spreads if not each.stable]
    return Executed(tuple(results), leaderboard, tuple(files), tuple(spreads), tuple(problems))
