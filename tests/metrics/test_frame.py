"""Frame metrics against scikit-learn on scores repeated per frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from harness.errors import UserError
from harness.metrics.frame import average_precision, pr_auc_trapezoid, roc_auc, snippet_table
from harness.records.alignment import Alignment
from tests.metrics.reference import SEGMENTS, STRIDE, abnormal, expanded, normal, random_set, scene


def trapezoid(labels, scores):
    precision, recall, _ = precision_recall_curve(labels, scores)
    return auc(recall, precision)


PAIRS = [(roc_auc, roc_auc_score), (average_precision, average_precision_score), (pr_auc_trapezoid, trapezoid)]


@pytest.mark.parametrize("alignment", [STRIDE, SEGMENTS], ids=["stride", "segments"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_sklearn_on_frames(seed: int, alignment: Alignment) -> None:
    predictions, truth = random_set(seed, alignment=alignment)
    labels, scores = expanded(predictions, truth)
    table = snippet_table(predictions, truth)
    assert (table.positives.sum(), table.negatives.sum()) == (labels.sum(), (1 - labels).sum())
    for ours, theirs in PAIRS:
        expected = theirs(labels, scores) if 0 < labels.sum() < len(labels) else None
        assert ours(table.scores, table.positives, table.negatives) == (
            expected if expected is None else pytest.approx(expected, abs=1e-12)
        )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.1, 0.1 + 2**-27, 0.5, 1.0]) | st.floats(0, 1, width=32),
            st.integers(0, 17),
            st.integers(0, 17),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_equals_sklearn_on_drawn_snippets(rows: list[tuple[float, int, int]]) -> None:
    scores = np.array([score for score, _, _ in rows], dtype=np.float32)
    positives, negatives = (np.array([row[kind] for row in rows]) for kind in (1, 2))
    labels = np.repeat(np.tile([1, 0], len(rows)), np.stack([positives, negatives], axis=1).ravel())
    frames = np.repeat(scores, positives + negatives)
    for ours, theirs in PAIRS:
        value = ours(scores.astype(np.float64), positives, negatives)
        if 0 < labels.sum() < len(labels):
            assert value == pytest.approx(theirs(labels, frames), abs=1e-12)
        else:
            assert value is None


def test_counts_by_hand() -> None:
    # Two overlapping events are one stretch; the third snippet has 8 frames, the fourth none; an event ends too late.
    predictions, truth = scene(
        {"a": (abnormal(40, (10, 20, 1), (14, 30, 1), (36, 90, 1)), [1, 2, 3, 4]), "b": (normal(100), [5, 6])}
    )
    table = snippet_table(predictions, truth)
    assert table.scores.tolist() == [1, 2, 3, 5, 6]
    assert table.positives.tolist() == [6, 14, 4, 0, 0]
    assert table.negatives.tolist() == [10, 2, 4, 16, 16]
    assert table.video.tolist() == [0, 0, 0, 1, 1]


def test_more_segments_than_frames() -> None:
    predictions, truth = scene({"a": (abnormal(3, (0, 2, 1)), [1, 2, 3, 4, 5])}, alignment=SEGMENTS)
    table = snippet_table(predictions, truth)
    assert (table.positives.sum(), table.negatives.sum(), len(table.scores)) == (2, 1, 3)


def test_order_of_predictions_does_not_matter() -> None:
    first = {"a": (abnormal(32, (0, 16, 1)), [1, 2]), "b": (normal(16), [3])}
    _, truth = scene(first)
    predictions, _ = scene(dict(reversed(first.items())))
    table = snippet_table(predictions, truth)
    assert (table.scores.tolist(), table.video.tolist()) == ([1, 2, 3], [0, 0, 1])


@pytest.mark.parametrize(
    ("videos", "alignment", "message"),
    [(("a",), STRIDE, "'b'.*missing"), (("a", "b", "c"), STRIDE, "'c'"), (("a", "b"), SEGMENTS, "aligned")],
)
def test_foreign_predictions_are_refused(videos: tuple[str, ...], alignment: Alignment, message: str) -> None:
    _, truth = scene({"a": (normal(16), [1]), "b": (normal(16), [1])})
    predictions, _ = scene({name: (normal(16), [1]) for name in videos})
    with pytest.raises(UserError, match=message) as caught:
        snippet_table(replace(predictions, alignment=alignment), truth)
    assert "\n" not in str(caught.value)
