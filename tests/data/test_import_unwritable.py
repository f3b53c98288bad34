"""A disk that is full or read-only: one line, and the earlier bank as it was."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from harness.data.bank_writer import BankWriter
from harness.errors import Unwritable
from tests.data.trees import content, ucf_tree


def test_a_disk_that_is_full_keeps_the_earlier_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    bank = tree.load().bank
    before = content(bank)
    add, calls = BankWriter.add, []

    def full(self: BankWriter, *arguments: Any) -> None:
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(self, *arguments)

    monkeypatch.setattr(BankWriter, "add", full)
    with pytest.raises(Unwritable, match="No space left on device") as caught:
        tree.load()
    assert len(str(caught.value).splitlines()) == 1
    assert str(bank.path) in str(caught.value)
    assert content(bank) == before
    assert [entry.name for entry in bank.path.parent.iterdir()] == [bank.path.name]


@pytest.mark.parametrize(
    "failing",
    [1, 2],
)
def test_a_rename_that_fails_keeps_the_earlier_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    bank = tree.load().bank
    before = content(bank)
    replace, calls = os.replace, []

    def broken(source: Any, target: Any) -> None:
        # Only whole banks; the files inside one are renamed too.
        if bank.path in (Path(source), Path(target)):
            calls.append(1)
            if len(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(Unwritable, match="No space left on device"):
        tree.load()
    assert len(calls) >= failing
    assert content(bank) == before


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(Unwritable, match="cannot be written") as caught:
        tree.load()
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "read-only"
    home.mkdir(mode=0o500)
    monkeypatch.setenv("HARNESS_HOME", str(home))
    with pytest.raises(Unwritable, match="read-only"):
        ucf_tree(tmp_path / "ucf").load()


def test_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    tree = ucf_tree(tmp_path / "ucf")
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(Unwritable, match="Read-only file system"):
        tree.load()
