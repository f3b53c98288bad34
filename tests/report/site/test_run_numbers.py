"""Every number on the pages of runs is that of the run's scores, computed again."""

from __future__ import annotations

import html
import re

import pytest

from harness.metrics import histograms
from harness.metrics.intervals import uncertainty
from harness.metrics.protocol import evaluate
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.figures import amount, percent
from harness.report.site.links import run as address
from harness.report.site.run_statistics import RESAMPLES
from tests.report.conftest import Site

CELL = re.compile(
    r'data-(metric|class)="([^"]+)" data-value="([^"]+)">([^<]+)</td><td class="num">(?:<span[^>]*>)?([^<]+)<'
)


def test_metrics_and_intervals(site: Site) -> None:
    for name, directory in site.runs.items():
        truth = GroundTruth.load(directory / "truth.json")
        scores = Predictions.load(directory / "predictions.npz").of(truth.videos)
        found, sure = evaluate(scores, truth), uncertainty(scores, truth, RESAMPLES, histograms.resampled)
        cells = CELL.findall(site.text(address(name)))
        assert {key for kind, key, *_ in cells if kind == "metric"} == set(found.metrics)
        for kind, escaped, value, text, ends in cells:
            key = html.unescape(escaped)
            expected = (found.metrics if kind == "metric" else found.class_auc)[key]
            assert float(value) == pytest.approx(expected, abs=1e-12), (name, key)
            assert text == (amount(key, expected) if kind == "metric" else percent(expected)), (name, key)
            estimate = (sure.metrics if kind == "metric" else sure.class_auc).get(key)
            known = estimate is not None and not isinstance(estimate, str)
            low, high = estimate.interval_in_odds() if known else (None, None)  # type: ignore[union-attr]
            assert ends == (f"{percent(low)} to {percent(high)}" if known else "-"), (name, key)
