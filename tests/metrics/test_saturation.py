"""Scores that hardly differ are called so, others are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.metrics.saturation import saturation


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.5] * 30, "the scores are all the same (0.5), so no metric of them says anything"),
        ([1.0, 1.0], "the scores are all the same (1), so no metric of them says anything"),
        ([0.5] * 15 + [0.5 + 2e-7] * 15, "the scores are all the same but for rounding (0.5)"),
        ([1.0] * 97 + [0.2, 0.3, 0.4], "97.0% of the scores are the same (1), so metrics say little of them"),
        ([0.0] * 9999 + [0.2], "99.9% of the scores are the same (0)"),
        ([0.0] * 58 + [1.0] * 41 + [0.3], "99.0% of the scores are 0 or 1, so they hardly rank anything"),
    ],
)
def test_what_is_said(scores: list[float], said: str) -> None:
    assert saturation(np.array(scores, dtype=np.float32)).startswith(said)


@pytest.mark.parametrize(
    "scores",
    [
        [],
        [0.5],
        [0.5, 0.6],
        [0.0] * 5 + [1.0] * 5,  # few
        list(range(9)) * 5,  # coarse
        [0.0] * 80 + list(np.linspace(0.1, 0.9, 20)),
        list(np.linspace(0, 1e-20, 50)),  # small, but not beside each other
    ],
)
def test_what_is_not(scores: list[float]) -> None:
    assert saturation(np.array(scores)) == ""


@pytest.mark.parametrize("name", ["ucf-crime-pel4vad", "shanghaitech-pel4vad", "ucf-crime-c3d-mil"])
def test_real_predictions_differ(shared: Path, name: str) -> None:
    table = pd.read_csv(shared / f"real/predictions/{name}.csv.gz")
    assert saturation(table["pred" if "pred" in table else "score"].to_numpy()) == ""
