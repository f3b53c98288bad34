"""What starting costs, as ratios to a bare `import torch` of the same moment. Run with `tox -e bench`."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 3
FURTHER = 10
# What a command may cost, in imports of torch.
FINISHED, FIRST, EACH_FURTHER = 1.5, 4.0, 1.0


class Cost(NamedTuple):
    """Seconds by the clock, and of the processor with all children."""

    wall: float
    cpu: float


def cost(*line: str) -> Cost:
    """Run a command, which must succeed, and return what it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(line, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@pytest.mark.benchmark(group="starting, in imports of torch")
def test_start(
    benchmark: BenchmarkFixture, say: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with nothing to do, one tiny run with its report, and each further one in the same command."""
    if benchmark.disabled:
        pytest.skip("a benchmark")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    counter = iter(range(2 * ROUNDS))

    def fresh(seeds: int) -> Cost:
        numbers = ",".join(map(str, range(seeds)))
        return harness("--methods", "feature-norm", "--seeds", numbers, "--out", str(tmp_path / str(next(counter))))

    def harness(*options: str) -> Cost:
        return cost(sys.executable, "-m", "harness", "run", *options)

    finished = ("--methods", "feature-norm", "--out", str(tmp_path / "finished"))
    harness(*finished)  # makes the demo, too
    measured: dict[str, list[Cost]] = {"torch": [], "finished": [], "one": [], "many": []}

    def once() -> None:
        measured["torch"].append(cost(sys.executable, "-c", "import torch"))
        measured["finished"].append(harness(*finished))
        measured["one"].append(fresh(1))
        measured["many"].append(fresh(1 + FURTHER))

    benchmark.pedantic(once, rounds=ROUNDS, warmup_rounds=0)
    for kind in Cost._fields:
        seconds = {name: statistics.median(getattr(one, kind) for one in costs) for name, costs in measured.items()}
        torch, each = seconds["torch"], (seconds["many"] - seconds["one"]) / FURTHER
        lines = (
            ("a finished run", seconds["finished"], FINISHED),
            ("one training-free run with its report", seconds["one"], FIRST),
            ("each further one", each, EACH_FURTHER),
        )
        for what, value, limit in lines:
            benchmark.extra_info[f"{what}, {kind}"] = value / torch
            load = f"load {os.getloadavg()[0]:.1f}"
            say(f"{what}: {value / torch:.2f} x import torch ({kind} {torch:.2f} s, {load}); limit {limit:g}")
