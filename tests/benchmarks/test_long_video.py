"""Peak memory of a process that scores one video of 20,000 snippets, over five hours at 16 frames each.

Run with `tox -e bench`; in the ordinary suite the shared check of every method bounds its memory.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.training.predict import predict
from tests.benchmarks.workload import FULL, both, card, names, split

ROOT = Path(__file__).resolve().parents[2]
SNIPPETS, LIMIT = 20_000, 2e9


def peak(name: str) -> int:
    """Return the peak of this process's memory in bytes after method `name` has scored the video."""
    predict(both(name, FULL)[1].eval(), split({"long": SNIPPETS}), card().alignment)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.benchmark(group="long video")
@pytest.mark.parametrize("name", names())
def test_long_video(benchmark: BenchmarkFixture, say: Callable[[str], None], name: str) -> None:
    if benchmark.disabled:
        pytest.skip("a benchmark")
    code = f"from {__name__} import peak; print(peak({name!r}))"

    def measured() -> int:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        return int(done.stdout.split()[-1])

    found = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info["peak_bytes"] = found
    say(f"{name}, {SNIPPETS:,} snippets: {found / 1e9:.2f} GB at most, the process with torch included")
    assert found < LIMIT
