"""What a matrix of many short runs costs beside their computing. Run with `tox -e bench`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.data.bank import Bank

RUNS, JOBS = 200, 2
# Epochs with which a run of DeepMIL on the demo takes about two seconds of a core.
EPOCHS = 2
# The whole command may take this share longer than the runs themselves, on as many cores as there are jobs.
TARGET = 0.10


@pytest.mark.benchmark(group="a matrix of 200 runs of two seconds")
def test_matrix(benchmark: BenchmarkFixture, say: Callable[[str], None], demo: Bank, tmp_path: Path) -> None:
    runs, epochs = (RUNS, EPOCHS) if benchmark.enabled else (3, 1)
    seeds = ",".join(map(str, range(runs)))
    line = [sys.executable, "-m", "harness", "run", "--methods", "deepmil", "--seeds", seeds, "--json"]
    line += ["--set", f"deepmil.epochs={epochs}", "--out", str(tmp_path), "--jobs", str(JOBS), "--executor", "local"]

    def whole() -> tuple[float, str]:
        began = time.perf_counter()
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        return time.perf_counter() - began, done.stdout

    wall, output = benchmark.pedantic(whole, rounds=1, warmup_rounds=0)
    found = json.loads(output)["runs"]
    assert [run["status"] for run in found] == ["ok"] * runs
    records = [json.loads((Path(run["directory"]) / "run.json").read_text()) for run in found]
    computing = sum(record["cost"]["wall_seconds"] for record in records)
    share = wall * JOBS / computing - 1
    benchmark.extra_info.update(wall=wall, computing=computing, overhead=share)
    if benchmark.enabled:
        what = f"{100 * share:.0f} % above their computing (target {100 * TARGET:.0f} %)"
        say(f"{runs} runs of {computing / runs:.2f} s with {JOBS} jobs: {what}")
