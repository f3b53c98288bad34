"""`harness.run`: a matrix of methods, data sets and seeds as a leaderboard."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.api.execution import Execution, execute, threads_of_a_run
from harness.records.result import RunResult
from harness.report.leaderboard.board import Leaderboard
from harness.runs.devices import device as available
from harness.runs.estimate import Estimates
from harness.runs.inputs import check_inputs
from harness.runs.matrix import matrix_of, plan
from harness.runs.order import Order
from harness.runs.runner import Display

__all__ = ["Leaderboard", "run"]

Words = str | Iterable[str]


def run(
    methods: Words,
    dataset: Words = "demo",
    *,
    features: Words = (),
    seeds: Iterable[int] = (0,),
    selection: Words = "last",
    preset: str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    text_tower: str | None = None,
    device: str = "cpu",
    jobs: int = 1,
    rerun: bool = False,
    out: str | Path = "runs",
    tracking_uri: str | None = None,
    tests: Words = (),
    causal: bool = False,
    open_vocabulary: bool = False,
    disturbances: Words = (),
) -> Leaderboard:
    """Train, evaluate, track and publish every combination, as `harness run` does, and return its leaderboards.

    Finished runs are not computed again. The report lies in `out/report`. A run that fails fails alone: it is among the
    leaderboard's `failures` and is warned of.

    Args:
        methods: names, aliases or groups ("baseline", "mil", "all").
        dataset: names of data sets or paths of their cards.
        features: feature sets of the cards; without any, each card's first.
        seeds: whole numbers; a claim about a method needs at least three.
        selection: "last", "val", "oracle" or "paper".
        preset: "fast" or "paper"; without, the card's.
        settings: method -> setting -> value, as `--set` takes them.
        text_tower: directory, hub id or name of the text tower.
        device: "cpu" or "cuda".
        jobs: runs at a time; the cores are shared out evenly.
        rerun: compute finished runs again.
        out: directory of the runs.
        tracking_uri: another MLflow store than the one in `out`.
        tests: other data sets on which each training is tested besides its own.
        causal: test also as if the videos were being recorded, each snippet from what has been seen until it.
        open_vocabulary: train on the base classes of the data set alone.
        disturbances: "label-noise 0.2", "feature-noise 0.5", ...: each beside the undisturbed run, see `harness study`.

    Raises:
        UserError: a name, setting or value is wrong; the text names it.
        Unwritable: `out` refused a write.
    """
    execution = Execution(Path(out), tracking_uri, jobs=jobs, gpus=1.0 if device == "cuda" else 0.0)
    fields = {
        "methods": _words(methods),
        "datasets": _words(dataset),
        "features": _words(features),
        "seeds": tuple(seeds),
        "selection": _words(selection),
        "set": settings or {},
        "preset": preset,
        "text_tower": text_tower,
        "device": available(device),
        "tests": _words(tests),
        "causal": causal,
        "open_vocabulary": open_vocabulary,
        "disturbances": _words(disturbances),
    }
    matrix = matrix_of("run", fields)
    planned = plan(matrix, execution.out, threads_of_a_run(jobs), fresh=rerun)
    check_inputs(planned.all)
    done = execute(planned, execution, _silent)
    for problem in done.problems:
        warnings.warn(problem, RuntimeWarning, stacklevel=2)
    wanted = {result.dataset for result in done.results}
    boards = tuple(board for board in done.leaderboard.boards if board.dataset in wanted)
    return replace(done.leaderboard, boards=boards)


def _words(given: Words) -> tuple[str, ...]:
    return tuple(given.split(",")) if isinstance(given, str) else tuple(given)


class _Silent:
    """Shows nothing: whoever calls a function looks at what it returns."""

    def say(self, text: str) -> None:
        """Nothing."""

    def started(self, order: Order) -> None:
        """Nothing."""

    def moved(self, run: str, done: int, total: int) -> None:
        """Nothing."""

    def ended(self, result: RunResult) -> None:
        """Nothing."""


def _silent(orders: tuple[Order, ...], estimates: Estimates, jobs: int) -> AbstractContextManager[Display]:
    return nullcontext(_Silent())
