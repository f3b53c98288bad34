"""A store of many runs through the command line: time, processor seconds, memory. Run with `tox -e bench`.

Limits hold for two cores that nothing else loads; what is printed says how busy they were.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.big_store import make

RUNS, GROWTH = 2000, (200, 2000, 20000)
# VmHWM rather than ru_maxrss, which a new process begins with its parent's value of.
_MEASURED = """
import re, runpy, sys
from pathlib import Path
sys.argv = ["harness", *sys.argv[1:]]
if __name__ == "__main__":
    try:
        runpy.run_module("harness", run_name="__main__")
    finally:
        print(re.search("VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


class Cost:
    """What a command took: seconds by the clock and of the processor, and its largest memory in MB."""

    def __init__(self, *arguments: str) -> None:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        line = [sys.executable, "-c", _MEASURED, *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        self.wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.megabytes = int(done.stderr.splitlines()[-1]) / 1024
        self.output = done.stdout

    def __str__(self) -> str:
        return f"{self.wall:.1f} s, {self.cpu:.1f} s of CPU, {self.megabytes:.0f} MB (load {os.getloadavg()[0]:.1f})"


@pytest.mark.benchmark(group="a store of 2,000 runs")
def test_report_and_list(
    benchmark: BenchmarkFixture, say: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    runs = RUNS if benchmark.enabled else 12
    make(tmp_path / "runs", runs)
    out = ("--out", str(tmp_path / "runs"))
    cold = benchmark.pedantic(lambda: Cost("report", *out), rounds=1, warmup_rounds=0)
    warm, listed = Cost("report", *out), Cost("list", "runs", *out, "--json")
    assert warm.output == cold.output
    assert len(json.loads(listed.output)["runs"]) == runs
    assert cold.megabytes < 600
    pages = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "report" / "runs").iterdir()}
    make(tmp_path / "runs", runs + 1, after=runs)
    grown = Cost("report", *out)
    assert [path.stat().st_mtime_ns for path in pages] == list(pages.values()), "pages of other runs stay"
    assert len(list((tmp_path / "runs" / "report" / "runs").iterdir())) == runs + 1
    if benchmark.enabled:
        costs = {"report, cold": (cold, 10), "report, warm": (warm, 3), "report, one new run": (grown, 1)}
        for name, (cost, limit) in {**costs, "list runs": (listed, 3)}.items():
            say(f"{runs:,} runs, {name}: {cost}; limit {limit} s")


@pytest.mark.benchmark(group="listing stores of growing size")
def test_growth(
    benchmark: BenchmarkFixture, say: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    sizes = GROWTH if benchmark.enabled else (10, 20)
    for runs in sizes:
        make(tmp_path / str(runs), runs)

    def listed() -> list[Cost]:
        return [Cost("list", "runs", "--out", str(tmp_path / str(runs)), "--json") for runs in sizes]

    for runs, cost in zip(sizes, benchmark.pedantic(listed, rounds=1, warmup_rounds=0), strict=True):
        assert len(json.loads(cost.output)["runs"]) == runs
        say(f"list runs, {runs:,} of them: {cost}")


@pytest.mark.benchmark(group="a dry run of 100,000 combinations")
def test_dry_run(benchmark: BenchmarkFixture, say: Callable[[str], None], demo: object, tmp_path: Path) -> None:
    seeds, rates = (100, 100) if benchmark.enabled else (10, 4)
    matrix = {
        **{"methods": ["deepmil"], "datasets": ["demo"], "seeds": list(range(seeds))},
        "sweep": {"deepmil": {"lr": [1e-5 * (1 + i) for i in range(rates)], "hidden": list(range(16, 176, 16))}},
    }
    (tmp_path / "matrix.yaml").write_text(json.dumps(matrix))
    line = ("run", "--file", str(tmp_path / "matrix.yaml"), "--dry-run", "--out", str(tmp_path / "runs"))
    cost = benchmark.pedantic(lambda: Cost(*line), rounds=1, warmup_rounds=0)
    assert f"{10 * seeds * rates:,} of {10 * seeds * rates:,} runs to do" in cost.output
    assert len(cost.output.splitlines()) < 40
    say(f"dry run of {10 * seeds * rates:,} combinations: {cost}; limit 5 s")
