"""Compute a planned matrix and publish what it gave: what `harness run` and `harness.run` share."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from harness.errors import Damaged, UserError
from harness.records.result import RunResult
from harness.report.leaderboard.board import Leaderboard
from harness.report.publish import publish_report
from harness.runs import runner
from harness.runs.estimate import Estimates
from harness.runs.machine_sampling import check_sampling
from harness.runs.matrix import Plan
from harness.runs.order import Order
from harness.runs.runner import Display, Open
from harness.runs.stability import Grid, measure
from harness.tracking.rounding_spread import Spread
from harness.tracking.tracker import Tracker, TrackingError

ExecutorName = Literal["local", "ray", "inline"]
Variants = Literal["full", "quick"]


class Shown(Protocol):
    """Makes what shows the progress of some runs, by how long they should take and how many go at a time."""

    def __call__(
        self, orders: tuple[Order, ...], estimates: Estimates, jobs: int
    ) -> AbstractContextManager[Display]: ...


@dataclass(frozen=True)
class Execution:
    """How the runs of a plan are computed; nothing here changes their numbers.

    `jobs` runs go at a time. `timeout` is in seconds and `memory_limit` in bytes, of one run with all its processes.
    `gpus` are those of one run under Ray. `stability` computes each run's variants that only round otherwise. Without
    `report`, runs are computed and recorded, and no leaderboard is made of them. With `system_metrics`, the machine is
    sampled while a run is computed, and what it was busy with is recorded with the run.
    """

    out: Path = Path("runs")
    tracking_uri: str | None = None
    executor: ExecutorName = "local"
    jobs: int = 1
    timeout: float | None = None
    memory_limit: int | None = None
    ray_address: str | None = None
    gpus: float = 0.0
    stability: Variants | None = None
    report: bool = True
    system_metrics: bool = False

    def __post_init__(self) -> None:
        """Raise UserError where an executor is asked for what it cannot do."""
        if self.system_metrics:
            check_sampling()
        if self.jobs < 1:
            raise UserError(f"--jobs {self.jobs}: expected at least 1")
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

    def opener(self, jobs: int) -> Open:
        """Return what opens the executor for at most so many runs at a time."""
        if self.executor == "inline":
            from harness.runs.executors.inline import InlineExecutor

            return InlineExecutor
        if self.executor == "ray":
            from harness.runs.executors.ray import RayExecutor

            return lambda tell: RayExecutor(tell, self.ray_address, self.gpus, self.timeout)
        from harness.runs.executors.local import LocalExecutor

        return lambda tell: LocalExecutor(tell, jobs, self.timeout, self.memory_limit)


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
    """Compute the runs of a plan that are not finished, record all, and write the report unless it is not wanted.

    A run that fails fails alone, and a store that cannot be reached is a problem, not an error: the runs are on disk,
    and the next command sends them.

    Raises:
        Unwritable: the output directory refused a write; what is finished stays.
    """
    plan = plan.watched if execution.system_metrics else plan
    out, jobs = execution.out, min(execution.jobs, max(len(plan.orders), 1))
    tracker, opener = Tracker(execution.tracking_uri, out), execution.opener(jobs)
    here = replace(execution, executor="local").opener(jobs) if execution.executor == "ray" else None
    with shown(plan.all, Estimates(out), jobs) as display:
        results = runner.run_plan(plan, opener, tracker, display, here)
    problems = [f"{each.method} seed {each.seed}: {each.error}" for each in results if each.status == "failed"]
    leaderboard, files, spreads = Leaderboard(()), list[Path](), list[Spread]()
    try:
        if execution.stability is not None:
            variants = partial(shown, estimates=Estimates(out), jobs=jobs)
            spreads = measure(plan.orders, Grid(execution.stability == "quick"), opener, tracker, variants)
        if execution.report:
            leaderboard, files = publish_report(tracker, directory=out / "report")
        problems += [f"missing from the leaderboard: {line}" for line in leaderboard.missing]
    except (TrackingError, Damaged) as error:
        problems.append(str(error))
    problems += [f"{each.method} seed {each.seed}: {each.words}" for each in spreads if not each.stable]
    return Executed(tuple(results), leaderboard, tuple(files), tuple(spreads), tuple(problems))
