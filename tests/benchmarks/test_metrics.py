"""Metrics at UCF-Crime's size, beside a plain computation of the same numbers. Run with `tox -e bench`.

Nothing here fails for being slow; everything fails for a wrong number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.metrics.bootstrap import multiplicities, resampled
from harness.metrics.frame import SnippetTable, average_precision, roc_auc, snippet_table
from harness.metrics.paired import differences
from harness.metrics.segments import field_map
from tests.benchmarks.conftest import SNIPPETS, VIDEOS, TestSet
from tests.metrics.reference import reference_map


@pytest.fixture(scope="module")
def table(ucf: TestSet) -> SnippetTable:
    found = snippet_table(*ucf)
    assert (len(np.unique(found.video)), len(found.scores)) == (VIDEOS, SNIPPETS)
    assert 1.1e6 < (found.positives + found.negatives).sum() < 1.12e6
    return found


@pytest.mark.benchmark(group="frame AUC and AP")
@pytest.mark.parametrize("how", ["plain", "ours"])
def test_frame_auc_and_ap(side_by_side: Callable[..., None], table: SnippetTable, how: str) -> None:
    """Against scikit-learn on ready-made arrays of frames, in float64, which it is faster with than in float32."""
    counts = np.stack([table.positives, table.negatives], axis=1)
    labels = np.repeat(np.tile([1, 0], SNIPPETS), counts.ravel())
    scores = np.repeat(table.scores, counts.sum(axis=1))
    rows = (table.scores, table.positives, table.negatives)
    side_by_side(
        how,
        plain=lambda: (roc_auc_score(labels, scores), average_precision_score(labels, scores)),
        ours=lambda: (roc_auc(*rows), average_precision(*rows)),
        target=25,
        rounds={"plain": 5, "ours": 100},
    )


@pytest.mark.benchmark(group="mAP@IoU")
@pytest.mark.parametrize("how", ["plain", "ours"])
def test_map(side_by_side: Callable[..., None], ucf: TestSet, how: str) -> None:
    """Against loops over frames, from predictions and ground truth to the five numbers."""
    side_by_side(
        how,
        plain=lambda: reference_map(*ucf, strict=False),
        ours=lambda: field_map(*ucf).tolist(),
        target=100,
        rounds={"plain": 1, "ours": 10},
    )


@pytest.mark.benchmark(group="1,000 paired resamples of 5 methods")
def test_paired_resamples(benchmark: BenchmarkFixture, say: Callable[[str], None], table: SnippetTable) -> None:
    random = np.random.default_rng(1)
    scores = [table.scores + scale * random.standard_normal(SNIPPETS) for scale in (0, 0.05, 0.1, 0.2, 0.4)]
    methods = {
        str(i): [SnippetTable(each, table.positives, table.negatives, table.video)] for i, each in enumerate(scores)
    }
    normal = np.bincount(table.video, table.positives) == 0
    found = benchmark.pedantic(
        lambda: differences(methods, normal, resamples=1000, permutations=0), rounds=3, warmup_rounds=1
    )
    assert len(found) == 10
    draws = multiplicities(normal, 1000, seed=0)
    labels, twice = np.repeat([1, 0], SNIPPETS), np.concatenate([table.video, table.video])
    counts = np.concatenate([table.positives, table.negatives])
    for name, (each,) in methods.items():
        values, pooled = resampled(each, draws[:3]), np.concatenate([each.scores, each.scores])
        for index, draw in enumerate(draws[:3]):
            for metric, reference in (("frame_auc", roc_auc_score), ("frame_ap", average_precision_score)):
                expected = reference(labels, pooled, sample_weight=counts * draw[twice])
                assert values[metric][index] == pytest.approx(expected, abs=1e-12), name
    if benchmark.stats is not None:
        say(f"1,000 paired resamples of 5 methods: {benchmark.stats.stats.min:.1f} s (target: under 10 s)")
