from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.console import Screen
from harness.errors import UserError
from harness.io.atomic import write_json
from harness.records.result import RunResult, Selection
from harness.report.audit.build import Audit, AuditRow, audit_board
from harness.report.audit.terminal import print_audits
from harness.report.leaderboard.build import build_leaderboard
from harness.tracking.tracker import TrackedRun, Tracker
from tests.fakes import fake_result, fake_run, fake_truth

LOOKS = [{"epoch": 1, "step": 10, "value": 0.7}, {"epoch": 2, "step": 20, "value": 0.9}]


def trained(method: str, rule: Any, values: list[float], gaps: list[float] | None = None) -> list[RunResult]:
    """One run per seed: its test metric, and what was gained over the last step where the rule looks."""
    runs = []
    for seed, value in enumerate(values):
        looked, gap = rule in ("oracle", "paper"), gaps[seed] if gaps else None
        chosen = Selection(rule=rule, criterion="test", step=20, steps=24, looks=2 if looked else 0, gap=gap)
        result = fake_result(method=method, selection=rule, seed=seed)
        runs.append(result.model_copy(update={"metrics": {"frame_auc": value}, "selected": chosen}))
    return runs


def audited(out: Path, *groups: list[RunResult], history: bool = True) -> Audit:
    results = [result for group in groups for result in group]
    runs = [TrackedRun(f"id{index}", "", index, result) for index, result in enumerate(results)]
    fake_truth("toy").save(out / "truth.json")
    write_json(out / "history.json", {"looks": LOOKS})

    def artifact(run: TrackedRun, name: str) -> Path:
        if name == "predictions.npz" or (name == "history.json" and not history):
            raise UserError("gone")
        return out / name

    (board,) = build_leaderboard(runs, [], artifact).boards
    return audit_board(board, artifact)


def row_of(audit: Audit, name: str, selection: str) -> AuditRow:
    (row,) = [row for row in audit.rows if (row.name, row.selection) == (name, selection)]
    return row


def test_what_the_looks_bought_seed_by_seed(tmp_path: Path) -> None:
    oracle = trained("alpha", "oracle", [0.90, 0.80], gaps=[0.04, 0.02])
    found = audited(tmp_path, oracle, trained("alpha", "val", [0.85, 0.79]))
    row = row_of(found, "alpha", "oracle")
    assert row.looked
    assert (row.best.mean, row.last.mean, row.bought.mean) == pytest.approx((0.85, 0.82, 0.03))
    assert row.bought.sd == pytest.approx(0.02 / 2**0.5)
    assert row.val.mean == pytest.approx(0.82)
    assert [(choice.seed, choice.looks, choice.step, choice.epoch) for choice in row.choices] == [
        (0, 2, 20, 2),
        (1, 2, 20, 2),
    ]
    assert list(row.choices[0].history) == LOOKS
    assert "2 looks a run, bought +3.00 points of Frame AUC" in found.reading


def test_who_did_not_look_has_no_best_look(tmp_path: Path) -> None:
    found = audited(tmp_path, trained("alpha", "last", [0.8]), trained("alpha", "val", [0.7]))
    last, val = row_of(found, "alpha", "last"), row_of(found, "alpha", "val")
    assert (last.looked, last.last.mean, last.best, last.bought) == (False, 0.8, None, None)
    assert (val.looked, val.last, val.val.mean) == (False, None, 0.7)
    assert "nothing was bought" in found.reading
    stream = io.StringIO()
    print_audits([found], Screen(file=stream, width=100))
    assert stream.getvalue().count("not looked") == 2


def test_nothing_to_choose_is_no_look(tmp_path: Path) -> None:
    """Methods without steps are not looked at, whatever rule was asked for."""
    (run,) = trained("floor", "oracle", [0.6])
    nothing = Selection(rule="last", criterion="", step=0, steps=0, looks=0)
    found = audited(tmp_path, [run.model_copy(update={"selected": nothing})])
    assert not row_of(found, "floor", "oracle").looked
    assert row_of(found, "floor", "oracle").last.mean == 0.6


def test_paper_is_measured_against_the_honest_training(tmp_path: Path) -> None:
    # Its own gap is over weights that were already chosen on the test set.
    paper = trained("alpha", "paper", [0.9, 0.8], gaps=[0.0, 0.0])
    assert row_of(audited(tmp_path, paper), "alpha", "paper").bought is None
    one_seed = audited(tmp_path, paper, trained("alpha", "last", [0.8]))
    assert row_of(one_seed, "alpha", "paper").bought is None
    found = audited(tmp_path, paper, trained("alpha", "last", [0.85, 0.78]))
    assert row_of(found, "alpha", "paper").bought.mean == pytest.approx(0.035)


@pytest.mark.parametrize("gain", [0.01, 0.05])
def test_whether_the_order_of_methods_changes(tmp_path: Path, gain: float) -> None:
    alpha = trained("alpha", "oracle", [0.80], gaps=[0.0])
    beta = trained("beta", "oracle", [0.78 + gain], gaps=[gain])
    found = audited(tmp_path, alpha, beta)
    assert found.order_last == ("alpha", "beta")
    if gain < 0.02:
        assert (found.order_best, found.overtakes) == (("alpha", "beta"), ())
        assert "leaves the order" in found.reading
    else:
        assert (found.order_best, found.overtakes) == (("beta", "alpha"), (("beta", "alpha"),))
        assert "beta overtakes alpha" in found.reading


def test_a_lost_history_costs_the_epoch_only(tmp_path: Path) -> None:
    found = audited(tmp_path, trained("alpha", "oracle", [0.9], gaps=[0.1]), history=False)
    row = row_of(found, "alpha", "oracle")
    assert (row.bought.mean, row.choices[0].step, row.choices[0].epoch) == (pytest.approx(0.1), 20, None)


def test_table_fits_a_hundred_columns(tmp_path: Path) -> None:
    name = "[bold]anomaly-method"
    oracle = trained(name, "oracle", [0.9, 0.8], gaps=[0.1, 0.2])
    found = audited(tmp_path, oracle, trained(name, "val", [0.7, 0.8]))
    stream = io.StringIO()
    print_audits([found], Screen(file=stream, width=100))
    assert max(map(len, stream.getvalue().splitlines())) <= 100
    assert "+15.00 ± 7.07" in stream.getvalue()
    assert "[bold]" in stream.getvalue()


def test_command_reads_the_store_and_nothing_else(
    harness: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rule in ("last", "oracle"):
        fake_run(tmp_path, selection=rule)
    tracker = Tracker(None, tmp_path)
    tracker.prepare()
    assert tracker.sync() == []
    monkeypatch.setattr("harness.records.predictions.Predictions.load", None)
    code, out, _ = harness("audit", "--out", str(tmp_path), "--json")
    (board,) = json.loads(out)["boards"]
    rows = {row["selection"]: row for row in board["rows"]}
    assert code == 0
    assert (rows["last"]["looked"], rows["oracle"]["looked"]) == (False, True)
    bought = rows["oracle"]["bought"]
    assert (bought["mean"], bought["sd"]) == (pytest.approx(0.01), None)
    assert rows["oracle"]["choices"][0]["history"] == [{"epoch": 1, "step": 11, "value": 0.8}]
    code, out, error = harness("audit", "--out", str(tmp_path), "--dataset", "elsewhere")
    assert (code, out) == (2, "")
    assert "no finished run of elsewhere" in error
