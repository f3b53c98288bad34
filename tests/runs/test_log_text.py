"""What others write into a run's log and an import's list is text there, whatever a terminal that shows it obeys."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.bank import REMARKS
from harness.runs.executors.perform import log_tail
from harness.runs.method_side import append_log
from harness.runs.truth_side import publish_run
from tests.data.trees import ucf_tree
from tests.fakes import fake_result, fake_truth

RAW = "red \x1b[31m, bell \a, back \b, turned \u202e, half \udcff, NUL \0"
SHOWN = "red \ufffd[31m, bell \ufffd, back \ufffd, turned \ufffd, half \ufffd, NUL \ufffd"


def test_a_line_of_a_log(tmp_path: Path) -> None:
    append_log(tmp_path, f"failed: {RAW}\n\tin a traceback\r")
    text = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert text.endswith(f" failed: {SHOWN}\n\tin a traceback\n")


def test_the_end_of_a_log_that_a_method_wrote_to(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"first\nsecond \x1b[2J\xff\n")
    assert log_tail(path) == "first\nsecond \ufffd[2J\ufffd"


def test_the_log_of_a_finished_run(tmp_path: Path) -> None:
    result = fake_result()
    result = result.model_copy(update={"directory": str(tmp_path / result.id)})
    (tmp_path / "computed").mkdir()
    publish_run(result, fake_truth("toy"), tmp_path / "computed", "one \x1b[2J\n\ttwo \a\n")
    assert (tmp_path / result.id / "log.txt").read_text() == "one \ufffd[2J\n\ttwo \ufffd\n"


def test_the_list_of_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.data.importers._rounded", lambda paths: [RAW.replace("\udcff", "x"), "two\nlines"])
    tree = ucf_tree(tmp_path / "ucf")
    report = tree.load()
    lines = (report.bank.path / REMARKS).read_text(encoding="utf-8").splitlines()
    assert SHOWN.replace("half \ufffd", "half x") in lines
    assert "two lines" in lines
