"""The stored ratios are those of the benchmarks, and one that has become worse fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bench.regressions import read
from harness.errors import UserError
from tests.benchmarks import ratios
from tests.benchmarks.test_training_step import CASES
from tests.benchmarks.workload import names


def _rows(**figures: float) -> list[ratios.Row]:
    return [{"method": name, "times_faster": value, "spread": 0.02, "rounds": 5} for name, value in figures.items()]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let benchmarks find these rows, at each measurement the next ones."""

    def set_up(*found: list[ratios.Row]) -> None:
        following = iter(found)
        monkeypatch.setattr(ratios, "benchmarks", lambda only: [lambda: next(following)])

    return set_up


@pytest.fixture
def baseline(tmp_path: Path) -> list[str]:
    path = tmp_path / "ratios.json"
    path.write_text(json.dumps({"machine": {"processor": "another"}, "rows": _rows(a=2.0, b=1.5)}))
    return ["--baseline", str(path)]


def test_the_baseline_has_a_ratio_of_every_benchmark() -> None:
    rows = read(ratios.BASELINE)["rows"]
    steps = {f"{name}, training step, lengths {lengths}" for name, lengths in CASES}
    assert {row["method"] for row in rows} == steps | {
        f"{name}, {what}" for name in names() for what in ("test pass", "evaluation")
    }
    assert all(row["rounds"] >= ratios.SIZE.rounds and row["times_faster"] > 0 for row in rows)


def test_a_ratio_that_is_worse_twice_fails(
    measured: Callable[..., None], baseline: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    measured(_rows(a=1.7, b=1.5), _rows(a=1.6, b=1.0))
    assert ratios.main(baseline) == 1
    assert "SLOWER a: x1.60 of the plain computation's speed, it was x2.00" in capsys.readouterr().out


@pytest.mark.parametrize("second", [1.95, 2.5])
def test_a_ratio_that_is_worse_once_or_within_noise_passes(
    measured: Callable[..., None], baseline: list[str], second: float
) -> None:
    measured(_rows(a=1.0, b=1.5), _rows(a=second, b=0.1))
    assert ratios.main(baseline) == 0
    measured(_rows(a=1.85, b=1.45))
    assert ratios.main(baseline) == 0


def test_a_new_benchmark_is_no_regression(measured: Callable[..., None], baseline: list[str]) -> None:
    measured(_rows(c=0.1))
    assert ratios.main(baseline) == 0


def test_a_recorded_baseline_is_read_again(measured: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    measured(_rows(b=2.0, a=1.0), _rows(b=4.0, a=1.0))
    assert ratios.main(["--record", str(path)]) == 0
    a, b = read(path)["rows"]
    assert (a["method"], a["times_faster"], a["spread"], a["rounds"]) == ("a", 1.0, 0.02, 10)
    assert (b["times_faster"], b["spread"]) == (3.0, pytest.approx(1 / 3)), "two measurements lie so far apart"
    measured(_rows(b=1.0))
    with pytest.raises(StopIteration):  # measured again, where there is nothing more
        ratios.main(["--baseline", str(path)])


def test_an_unknown_benchmark_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratios, "benchmarks", lambda only: [])
    with pytest.raises(UserError, match="nothing"):
        ratios.main(["--only", "nothing", "--record", "unused.json"])


def test_sides_take_turns_and_the_median_of_their_ratios_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    slow = iter([9.0, 3.0, 8.0, 2.0, 4.0, 20.0])

    def plain() -> dict[str, float]:
        order.append("plain")
        return {"x": next(slow)}

    def ours() -> dict[str, float]:
        order.append("ours")
        return {"x": 2.0}

    monkeypatch.setattr(ratios, "SECONDS", 0.0)
    (row,) = ratios.compared("m", plain, ours)
    assert order[2:6] == ["plain", "ours", "ours", "plain"]
    assert row["times_faster"] == 2.0, "of 1.5, 4, 1, 2, 10; the first round warms up"
    assert row["spread"] == pytest.approx((4 - 1.5) / 2 / 2)
