"""`harness data`: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.data.trees import Tree, content, ucf_tree

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


@pytest.fixture
def card(tree: Tree, tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree.card.model_dump(mode="json")))
    return str(path)


def test_import_info_verify_export_import(harness: Call, tree: Tree, card: str, tmp_path: Path) -> None:
    code, stdout, stderr = harness("data", "import", card, "--root", str(tree.root), "--json")
    assert code == 0, stderr
    imported = json.loads(stdout)
    assert "9/9" in stderr
    code, stdout, _ = harness("data", "info", card, "--json")
    assert (code, json.loads(stdout)) == (0, imported)
    code, stdout, _ = harness("data", "verify", card)
    assert code == 0
    assert imported["hash"][:12] in stdout
    code, stdout, stderr = harness("data", "export", card, "--to", str(tmp_path / "exported"))
    assert code == 0, stderr
    code, stdout, stderr = harness("data", "import", card, "--root", str(tmp_path / "exported"), "--json")
    assert code == 0, stderr
    assert json.loads(stdout) == imported


def test_the_table_shows_the_counts(harness: Call, tree: Tree, card: str) -> None:
    code, stdout, _ = harness("data", "import", card, "--root", str(tree.root))
    assert code == 0
    for word in ("small-ucf", "Arrest", "288 test frames", "76 positive"):
        assert word in stdout


def test_warnings_and_empty_videos_go_to_standard_error(harness: Call, tree: Tree, card: str) -> None:
    tree.edit("annotations.txt", "16  40", "90  99")
    tree.array("UCFClipFeatures/Arrest/Arrest001_x264__5.npy", np.zeros((0, 4), np.float32))
    code, stdout, stderr = harness("data", "import", card, "--root", str(tree.root), "--json")
    assert code == 0
    assert "annotations.txt:1" in stderr
    assert "Arrest001_x264" in stderr
    assert json.loads(stdout)["splits"]["test"]["excluded"] == ["Arrest001_x264"]


def test_events_that_are_cut_are_one_line_and_a_list_in_a_file(harness: Call, tree: Tree, card: str) -> None:
    tree.edit("annotations.txt", "16  40", "90  99999")
    tree.edit("annotations.txt", "50  90", "50  113")
    code, _, stderr = harness("data", "import", card, "--root", str(tree.root))
    assert code == 0
    *_, warning, pointer = stderr.splitlines()
    first = f"{tree.root}/annotations.txt:1: event of Abuse028_x264 ends at frame 99999, beyond the video's 96"
    assert f": {first}" in warning
    assert warning.startswith("warning: 2 events end beyond their videos and are cut at the end, the first: ")
    lines = Path(pointer.removeprefix("all of it, line by line: ")).read_text().splitlines()
    second = f"{tree.root}/annotations.txt:2: event of Arrest001_x264 ends at frame 113, beyond the video's 112"
    assert lines == [f"{first}; cut", f"{second}; cut"]


def test_verify_fails_with_exit_code_1(harness: Call, tree: Tree, card: str) -> None:
    file = tree.load().bank.path / "test.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    code, stdout, _ = harness("data", "verify", card)
    assert code == 1
    assert str(file) in stdout


def test_a_bank_of_an_earlier_card_must_be_imported_again(harness: Call, tree: Tree) -> None:
    tree.load()
    tree.change(protocol={"primary": "frame_ap"})
    card = tree.write_card()
    for verb in ("verify", "info"):
        code, stdout, stderr = harness("data", verb, card)
        assert (code, stdout) == (2, "")
        (line,) = stderr.splitlines()
        assert "another version of its card" in line
        assert "harness data import" in line


def test_a_missing_file_is_found(harness: Call, tree: Tree, card: str) -> None:
    file = tree.load().bank.path / "train.npy"
    file.unlink()
    code, stdout, _ = harness("data", "verify", card)
    assert code == 1
    assert str(file) in stdout
    assert "No such file" in stdout


def test_a_full_disk_and_a_home_below_a_file(
    harness: Call, tree: Tree, card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = tree.load().bank
    before = content(bank)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("harness.data.bank_writer.BankWriter.add", full)
        code, _, stderr = harness("data", "import", card, "--root", str(tree.root))
    assert code == 2
    assert "No space left on device" in stderr
    assert len(stderr.splitlines()) == 1
    assert content(bank) == before
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "file" / "home"))
    code, _, stderr = harness("data", "import", card, "--root", str(tree.root))
    assert code == 2
    assert "cannot be written" in stderr
    assert len(stderr.splitlines()) == 1


def test_list_tells_what_is_imported(harness: Call) -> None:
    code, stdout, _ = harness("data", "list", "--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(stdout)["datasets"]}
    assert rows["xd-violence"]["status"] == "not imported"
    assert harness("data", "list")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["import", "ucf-crme", "--root", "."], "did you mean ucf-crime"),
        (["import", "ucf-crime", "--root", "./no/such/root"], "no/such/root"),
        (["import", "ucf-crime", "--root", ".", "--features", "i3d"], "no feature set 'i3d'"),
        (["info", "ucf-crime"], "harness data import ucf-crime"),
        (["verify", "ucf-crime"], "harness data import ucf-crime"),
        (["export", "ucf-crime", "--to", "x"], "harness data import ucf-crime"),
        (["import", "demo", "--root", "."], "generated on first use"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line(
    harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = harness("data", *arguments)
    assert (code, stdout) == (2, "")
    assert expected in stderr
    assert len(stderr.strip().splitlines()) == 1
