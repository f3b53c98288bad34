"""The record of methods that passed the shared check, and the mark on rows of those that did not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import UserError
from harness.identity import check_record as checked
from harness.identity import code as code_identity
from harness.identity.code import method_files
from harness.io.atomic import read_json
from harness.registry import is_ours, method_class, method_names
from harness.report.leaderboard import build as leaderboard
from harness.report.tables import comma_separated, latex, markdown
from harness.report.terminal import print_leaderboard
from harness.report.write import write_report
from harness.tracking.tracker import TrackedRun
from tests.fakes import fake_result, fake_run
from tests.identity.test_code import read_as, with_a_number_changed, with_words_changed

Call = Callable[..., tuple[int, str, str]]
GOOD = {"types": "ok", "device": "skipped"}


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checked, "shipped_record", lambda: tmp_path / "shipped.json")
    monkeypatch.setattr(checked, "own_record", lambda: tmp_path / "own.json")
    return tmp_path / "own.json"


def test_a_pass_is_kept_until_the_code_changes(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = method_class("deepmil")
    assert checked.checked(cls) == ""
    checked.keep(cls, GOOD, record)
    assert checked.checked(cls) == "passed"
    file = method_files(cls)["harness.methods.deepmil"]
    source = file.read_text(encoding="utf-8")
    read_as(monkeypatch, file, with_words_changed(source))
    assert checked.checked(cls) == "passed"
    read_as(monkeypatch, file, with_a_number_changed(source, -1))
    assert checked.checked(cls) == ""
    monkeypatch.undo()
    code_identity._hash_of.cache_clear()


def test_a_failure_takes_the_pass_away(record: Path) -> None:
    cls = method_class("deepmil")
    checked.keep(cls, {"types": "failed"}, record)
    assert not record.exists()
    checked.keep(cls, GOOD, record)
    checked.keep(method_class("random"), GOOD, record)
    checked.keep(cls, {"types": "failed"}, record)
    assert list(read_json(record)) == ["random"]


def test_a_damaged_record_is_one_line(record: Path) -> None:
    record.write_text(json.dumps({"deepmil": {"code": 3}}))
    with pytest.raises(UserError, match=r"own\.json: field deepmil\.code: .*; delete it and run"):
        checked.checked(method_class("deepmil"))


def test_methods_that_ship_have_passed() -> None:
    """After a change to one: `harness check-method --all --record reports/checked.json`."""
    ours = [name for name in method_names() if is_ours(name)]
    assert len(ours) > 10
    code_identity._hash_of.cache_clear()  # of a test that had other methods registered
    entries = checked._read(checked.shipped_record())
    stale = [
        name
        for name in ours
        if name not in entries or entries[name].code != code_identity.method_hash(method_class(name))
    ]
    assert not stale, "harness check-method --all --record reports/checked.json"


def test_the_command_records(harness: Call, record: Path) -> None:
    assert harness("check-method", "random", "--record", str(record))[0] == 0
    assert checked.checked(method_class("random")) == "passed"
    code, stdout, stderr = harness("check-method")
    assert (code, stdout) == (2, "")
    assert "name one method, or give --all" in stderr
    code, _, _ = harness("check-method", "deepmil", "--set", "deepmil.dropout=0.1", "--record", str(record))
    assert "deepmil" not in read_json(record), "other settings are not the method that runs"


def test_what_a_run_says_and_what_the_board_says(record: Path) -> None:
    result = fake_result(method="deepmil", code=code_identity.code_hash(method_class("deepmil")))
    assert not checked.unchecked(result)
    old = result.model_copy(update={"provenance": {}})
    assert checked.unchecked(old)
    checked.keep(method_class("deepmil"), GOOD, record)
    assert not checked.unchecked(old), "passed since then, with the very code of the run"
    assert result.spec is not None
    other = old.model_copy(update={"spec": result.spec.model_copy(update={"code": "0" * 64})})
    assert checked.unchecked(other)


def test_the_mark_is_in_every_output(tmp_path: Path) -> None:
    good = fake_run(tmp_path, method="alpha")
    bad = fake_run(tmp_path, method="beta")
    bad = bad.model_copy(update={"provenance": {**bad.provenance, "checked": ""}})
    runs = [TrackedRun(each.id, str(tmp_path / each.id), 0, each) for each in (good, bad)]
    made = leaderboard.build_leaderboard(runs, [], lambda run, name: tmp_path / run.result.id / name)
    (board,) = made.boards
    assert {row.method: row.unchecked for row in board.rows} == {"alpha": False, "beta": True}
    assert [caution for caution in board.cautions if caution.startswith("Unchecked: beta. ")]
    rows = made.to_dict()["boards"][0]["rows"]
    assert {row["method"]: row["unchecked"] for row in rows} == {"alpha": False, "beta": True}
    assert "| beta (unchecked) |" in markdown(made)
    assert "| alpha |" in markdown(made)
    assert r"beta$^{\dagger}$ &" in latex(made)
    assert r"$\dagger$: not known to have passed the shared check" in latex(made)
    table = list(csv.DictReader(io.StringIO(comma_separated(made))))
    assert {row["method"]: row["unchecked"] for row in table} == {"alpha": "False", "beta": "True"}
    screen = Console(file=io.StringIO(), width=100)
    print_leaderboard(made.boards, screen)
    assert screen.file.getvalue().count(" unchecked ") == 1
    write_report(made, lambda run, name: tmp_path / run.result.id / name, tmp_path / "report", ["html"])
    for page in ("index.html", *(f"boards/{path.name}" for path in (tmp_path / "report/boards").glob("*.html"))):
        text = (tmp_path / "report" / page).read_text(encoding="utf-8")
        assert text.count(">unchecked</span>") == 1 + (page == "index.html"), "one row, and how to read it"
