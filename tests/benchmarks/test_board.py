"""A leaderboard at full size: 16 methods, 5 seeds, UCF-Crime's 290 test videos. Run with `tox -e bench`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.metrics.frame import roc_auc, snippet_table
from harness.report.leaderboard.build import build_leaderboard
from harness.tracking.tracker import TrackedRun
from tests.benchmarks.conftest import TestSet
from tests.fakes import fake_result

METHODS, SEEDS = 16, 5


@pytest.mark.benchmark(group="a board of 16 methods x 5 seeds x 290 videos")
def test_board(benchmark: BenchmarkFixture, say: Callable[[str], None], ucf: TestSet, tmp_path: Path) -> None:
    """Means, intervals of both kinds, ranks and what would settle them, from prediction files, nothing kept before."""
    predictions, truth = ucf
    rng = np.random.default_rng(0)
    runs = []
    for method in range(METHODS):
        for seed in range(SEEDS):
            result = fake_result(method=f"method-{method:02d}", dataset=truth.dataset, seed=seed)
            noise = (0.1 + 0.02 * method) * rng.standard_normal(len(predictions.scores))
            own = replace(predictions, scores=(predictions.scores + noise).astype(np.float32))
            place = tmp_path / result.id
            own.save(place / "predictions.npz")
            truth.save(place / "truth.json")
            table = snippet_table(own, truth)
            auc = roc_auc(table.scores, table.positives, table.negatives)
            result = result.model_copy(update={"metrics": {**result.metrics, "frame_auc": auc}})
            runs.append(TrackedRun(result.id, str(place), len(runs), result))
    (board,) = benchmark.pedantic(
        lambda: build_leaderboard(runs, [], lambda run, name: Path(run.artifacts) / name).boards,
        rounds=1,
        warmup_rounds=0,
    )
    assert len(board.rows) == METHODS
    assert all(row.rank and row.metrics["frame_auc"].low for row in board.rows)
    if benchmark.stats is not None:
        say(f"a board of {METHODS} x {SEEDS} x {len(truth.videos)}: {benchmark.stats.stats.min:.1f} s")
