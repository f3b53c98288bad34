"""Every number in the tables of a comparison's page is computed again: from the scores, and from the statistics."""

from __future__ import annotations

import html
import re
import statistics

import pytest

from harness.comparison.page import chance, page, points, share
from harness.comparison.result import ComparisonResult, Difference
from harness.comparison.statistics import Side, compare_sides
from harness.metrics.protocol import Evaluation, evaluate
from harness.report.figures import label, percent
from tests.fakes import fake_predictions, fake_truth
from tests.report.test_write import CLASSES

TRUTH = fake_truth("toy", CLASSES)
SIDES = [Side(name, tuple(fake_predictions(TRUTH, seed, name) for seed in (0, 1))) for name in ("alpha", "beta")]


@pytest.fixture(scope="module")
def found() -> ComparisonResult:
    return compare_sides(SIDES, TRUTH, resamples=100, permutations=100)


@pytest.fixture(scope="module")
def again() -> dict[str, list[Evaluation]]:
    return {side.name: [evaluate(scores, TRUTH) for scores in side.predictions] for side in SIDES}


@pytest.fixture(scope="module")
def tables(found: ComparisonResult) -> dict[str, list[list[str]]]:
    """The rows of each section's table, a text for each cell."""
    text = page(found, SIDES, [("a",), ("b",)], TRUTH, [])
    sections = re.findall(r'<section aria-labelledby="(\w+)">(.*?)</section>', text, re.DOTALL)
    return {name: [_cells(row) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)] for name, body in sections}


def _cells(row: str) -> list[str]:
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
    texts = [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in cells]
    return [text.replace("\N{MINUS SIGN}", "-") for text in texts]


def _by_source(difference: Difference) -> list[str]:
    assert difference.seeds is not None
    return [
        f"{points(difference.videos_low)} to {points(difference.videos_high)}",
        f"{100 * difference.seeds:.2f}",
        f"{points(difference.low)} to {points(difference.high)}",
    ]


def test_verdicts(found: ComparisonResult, again: dict[str, list[Evaluation]], tables: dict) -> None:
    rows = {row[0]: row for row in tables["verdicts"] if len(row) == 9}
    assert found.verdicts
    for verdict in found.verdicts:
        means = [statistics.fmean(e.metrics[verdict.metric] for e in again[name]) for name in (verdict.a, verdict.b)]
        assert verdict.difference.value == pytest.approx(means[0] - means[1], abs=1e-12)
        assert rows[label(verdict.metric)][2:] == [
            points(means[0] - means[1]),
            *_by_source(verdict.difference),
            chance(verdict.p_value),
            share(verdict.difference.ahead),
            verdict.verdict,
        ]


def test_sides(found: ComparisonResult, again: dict[str, list[Evaluation]], tables: dict) -> None:
    head, *rows = tables["sides"]
    assert [row[0] for row in rows] == list(again)
    metrics = {label(name): name for each in again.values() for name in each[0].metrics}
    for row, standing in zip(rows, found.standings, strict=True):
        for name, cell in zip(head[2:], row[2:], strict=True):
            values = [each.metrics[metrics[name]] for each in again[standing.name]]
            shown = f"{percent(statistics.fmean(values))} ± {percent(statistics.stdev(values))}"
            assert cell == shown or cell.startswith(f"{shown} ["), (standing.name, name)
            if (total := standing.total(metrics[name])) is not None:
                assert f"[{percent(total[0])}, {percent(total[1])}]" in cell


def test_classes(found: ComparisonResult, again: dict[str, list[Evaluation]], tables: dict) -> None:
    rows = {row[0]: row for row in tables["classes"] if len(row) == 9}
    assert found.classes
    for each in found.classes:
        means = [statistics.fmean(e.class_auc[each.name] for e in again[name]) for name in (each.a, each.b)]
        assert rows[f"{each.name} {each.videos}"][2:] == [
            points(means[0] - means[1]),
            *_by_source(each.difference),
            share(each.difference.ahead),
            *map(percent, means),
        ]
