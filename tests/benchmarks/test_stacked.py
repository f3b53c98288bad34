"""Five seeds in one step beside one seed: equal numbers, and how much longer. Run with `tox -e bench`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.stacked import Seeds
from tests.benchmarks.workload import compared, size

SEEDS, TARGET = 5, 2


@pytest.mark.benchmark(group="five seeds in one training step")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")
@pytest.mark.parametrize("videos", [None, 2])
def test_five_seeds(benchmark: BenchmarkFixture, say: Callable[[str], None], videos: int | None) -> None:
    """DeepMIL with the preset's batches, and with so small ones that calling torch's operators costs the most."""
    if benchmark.disabled and videos is None:
        pytest.skip("a benchmark")
    scale = size(benchmark)
    seeds = Seeds("deepmil", scale, "fast", SEEDS, videos)
    alone, together = torch.stack([seeds.alone(seed) for seed in range(SEEDS)]), seeds.together()
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
    for one, stacked in seeds.weights():
        # Adam's first step is the sign of the gradient, whatever its size: rounding decides where that is next to 0.
        assert (one - stacked).abs().gt(1e-6).float().mean() < 1e-3
    if benchmark.disabled:
        return
    one_seed, all_seeds = compared(benchmark, lambda: seeds.alone(0), seeds.together, scale.rounds)
    ratio, pairs = all_seeds / one_seed, seeds.pairs
    benchmark.extra_info[f"{SEEDS} seeds"] = {"pairs": pairs, "one": one_seed, "stacked": all_seeds, "ratio": ratio}
    say(f"{SEEDS} seeds of deepmil, {pairs} pairs of videos: {ratio:.2f} times as long as one (target {TARGET})")
