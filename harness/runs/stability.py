"""The variants of a run that only round otherwise, and the spread of its result over them.

Another CPU computes the same sums in another order. What that does can be had on one machine: torch's kernels for
older processors, other numbers of threads, and starting weights that differ by a millionth. A method whose result
moves by more than 2 points then is chaotic at its schedule: its number says nothing about it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from harness.records.result import RunResult
from harness.records.run_directory import RECORD, open_run
from harness.records.spec import RunSpec
from harness.runs.order import Order
from harness.runs.runner import Display, Open, compute_orders
from harness.tracking.rounding_spread import METRIC, Spread, key_of, record, recorded
from harness.tracking.tracker import Tracker

OpenDisplay = Callable[[tuple[Order, ...]], AbstractContextManager[Display]]
# Below the directory of runs: whatever lists runs looks one level higher.
PLACE = ".stability"
# From older to newer processors; the names are those of ATEN_CPU_CAPABILITY.
_LEVELS = ("default", "avx2", "avx512")
_THREADS = (1, 2)
_DRAWS = 2
_CUDA_DRAWS = 4


@dataclass(frozen=True)
class Grid:
    """Which variants are computed: all of them, or with `quick` one for each way to round otherwise."""

    quick: bool = False

    def variants(self, spec: RunSpec) -> dict[str, RunSpec]:
        """Return the variants of a run by name; none is the run itself."""
        if spec.device != "cpu":
            draws = range(1, _CUDA_DRAWS + 1)
            return {f"weights {draw}": spec.model_copy(update={"nudge": draw}) for draw in draws}
        levels = levels_here()
        cells = [(level, threads, 0) for level in levels for threads in _THREADS]
        cells += [(levels[-1], _THREADS[0], draw) for draw in range(1, _DRAWS + 1)]
        if self.quick:
            middle = levels[len(levels) // 2]
            cells = [(levels[0], 1, 0), (middle, 2, 0), (levels[-1], 1, 0), (levels[-1], 1, 1)]
        return {
            _name(level, threads, draw): spec.model_copy(
                update={"capability": level, "threads": threads, "nudge": draw}
            )
            for level, threads, draw in cells
        }


def _name(level: str, threads: int, draw: int) -> str:
    name = f"{level}, {threads} thread{'s' * (threads > 1)}"
    return f"{name}, weights {draw}" if draw else name


def levels_here() -> tuple[str, ...]:
    """What ATEN_CPU_CAPABILITY may be on this processor, its own last."""
    own = torch.backends.cpu.get_cpu_capability().lower()
    return _LEVELS[: _LEVELS.index(own) + 1] if own in _LEVELS else ("default", own)


def measure(
    orders: Sequence[Order], grid: Grid, open_executor: Open, tracker: Tracker, open_display: OpenDisplay
) -> list[Spread]:
    """Compute the variants of finished runs and record how far their frame AUC goes apart; one spread per order.

    A run whose spread is recorded already is not measured again, unless its order is `fresh`. Orders without a
    finished run are left out, and those whose test set leaves the frame AUC undefined.

    Raises:
        TrackingError: the store cannot be reached; variants that are computed stay for the next command.
        Unwritable: the output directory refused a write.
    """
    known = {} if any(order.fresh for order in orders) else recorded(tracker)
    runs = {order.run: result for order in orders if (result := _finished(order)) is not None}
    wanted = {order.run: order for order in orders if order.run in runs}
    found = {run: known.get(key_of(order.spec)) for run, order in wanted.items()}
    place = tracker.out / PLACE
    variants = {
        run: {name: replace(order, spec=spec, out=place) for name, spec in grid.variants(order.spec).items()}
        for run, order in wanted.items()
        if found[run] is None
    }
    # Those of one kind one after another: a worker takes what asks for the settings that it was started with.
    asked = sorted(
        (variant for each in variants.values() for variant in each.values()),
        key=lambda variant: (variant.spec.capability, variant.spec.threads),
    )
    with open_display(tuple(asked)) as display:
        computed = compute_orders(asked, open_executor, place, display, lambda result: None)
    results = {variant.run: result for variant, result in zip(asked, computed, strict=True)}
    for run, each in variants.items():
        spread = _spread(runs[run], {name: results[variant.run] for name, variant in each.items()})
        record(tracker, spread)
        found[run] = spread
        for variant in each.values():  # models of no further use
            shutil.rmtree(variant.directory, ignore_errors=True)
    return [spread for spread in found.values() if spread is not None]


def _finished(order: Order) -> RunResult | None:
    result = open_run(order.directory).result if (order.directory / RECORD).exists() else None
    return result if result is not None and METRIC in result.metrics else None


def _spread(run: RunResult, variants: dict[str, RunResult]) -> Spread:
    assert run.spec is not None
    spec = run.spec
    shared = {name: getattr(spec, name) for name in ("recipe", "method", "dataset", "features", "preset", "seed")}
    values = {"the run": run.metrics[METRIC]}
    values |= {name: result.metrics[METRIC] for name, result in variants.items() if METRIC in result.metrics}
    failed = {name: result.error or "" for name, result in variants.items() if METRIC not in result.metrics}
    return Spread(**shared, selection=spec.selection, values=values, failed=failed)
