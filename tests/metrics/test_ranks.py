"""Average ranks against a published example."""

from __future__ import annotations

import pytest

from harness.metrics.ranks import average_ranks

# Demsar (JMLR 2006), Table 6: four settings of C4.5 on 14 data sets, in AUC.
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
TABLE = (
    (0.763, 0.768, 0.771, 0.798),
    (0.599, 0.591, 0.590, 0.569),
    (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657),
    (0.882, 0.888, 0.886, 0.898),
    (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685),
    (0.583, 0.583, 0.563, 0.625),
    (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000),
    (0.940, 0.962, 0.965, 0.962),
    (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.9751, 0.975),
    (0.957, 0.978, 0.946, 0.970),
)


def test_ranks_of_the_textbook_example() -> None:
    values = {str(i): dict(zip(NAMES, row, strict=True)) for i, row in enumerate(TABLE)}
    found = average_ranks(values)
    assert found is not None
    assert found.average == pytest.approx(
        {"C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143}, abs=1e-3
    )
    assert found.critical == pytest.approx(1.25, abs=0.01)
    assert found.groups == (tuple(found.average),)


def test_groups_are_maximal_runs() -> None:
    values = {str(i): {"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 1.0} for i in range(12)}
    found = average_ranks(values)
    assert found is not None
    assert found.critical == pytest.approx(2.728 * (30 / 72) ** 0.5, abs=1e-3)
    assert found.groups == (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"))


def test_too_little_to_rank() -> None:
    assert average_ranks({}) is None
    assert average_ranks({"d": {"a": 1.0, "b": 2.0}}) is None
    assert average_ranks({"d": {"a": 1.0}, "e": {"b": 2.0}}) is None
