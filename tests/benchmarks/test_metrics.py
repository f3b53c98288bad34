"""Metrics at UCF-Crime's size, beside a plain computation of the same numbers. Run with `tox -e bench`."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.metrics.frame import average_precision, roc_auc, snippet_table
from harness.metrics.segments import field_map
from harness.predictions import Predictions
from harness.truth import GroundTruth
from tests.metrics.reference import abnormal, normal, reference_map, scene

Scene = tuple[Predictions, GroundTruth]


def _scene(videos: int, snippets: int, classes: int) -> Scene:
    random = np.random.default_rng(0)
    lengths = np.maximum(2, random.multinomial(snippets, random.dirichlet(np.full(videos, 0.7))))
    table = {}
    for index, length in enumerate(lengths):
        frames = 16 * int(length)
        begin = int(random.integers(0, frames // 2))
        video = (
            abnormal(frames, (begin, begin + frames // 8 + 1, 1 + index % (classes - 1)))
            if index % 2
            else normal(frames)
        )
        logits = 2 * random.standard_normal((length, classes))
        table[f"v{index}"] = (video, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return scene(table, [f"c{k}" for k in range(classes)])


@pytest.fixture(scope="module")
def ucf_sized() -> Scene:
    """290 videos, 69,634 snippets, 1.1 million frames."""
    return _scene(290, 69_634, 14)


@pytest.mark.benchmark(group="frame AUC and AP")
@pytest.mark.parametrize("how", ["snippets", "frames"])
def test_frame_auc_and_ap(benchmark: BenchmarkFixture, ucf_sized: Scene, how: str) -> None:
    table = snippet_table(*ucf_sized)
    weights = np.concatenate([table.positives, table.negatives])
    scores = np.repeat(np.concatenate([table.scores, table.scores]), weights)
    labels = np.repeat(np.repeat([1, 0], len(table.scores)), weights)
    if how == "frames":
        auc, _ = benchmark.pedantic(
            lambda: (roc_auc_score(labels, scores), average_precision_score(labels, scores)), rounds=3
        )
    else:
        rows = (table.scores, table.positives, table.negatives)
        auc, _ = benchmark(lambda: (roc_auc(*rows), average_precision(*rows)))
    assert auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.benchmark(group="mAP@IoU, a tenth of UCF-Crime")
@pytest.mark.parametrize("how", ["snippets", "frames"])
def test_map(benchmark: BenchmarkFixture, how: str) -> None:
    predictions, truth = _scene(29, 6_963, 14)
    if how == "frames":
        benchmark.pedantic(lambda: reference_map(predictions, truth, strict=False), rounds=2)
    else:
        found = benchmark(lambda: field_map(predictions, truth))
        assert len(found) == 5
