"""Glances: from a file to the bank and its splits, what deserves a look, and that nothing else of a bank changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.data.bank import GLANCES, Bank
from harness.data.card import read_card
from harness.data.cards import find_card, open_bank
from harness.data.hf import export_bank, import_exported
from harness.data.synthetic import _World
from harness.data.verify import describe, verify
from harness.errors import UserError
from harness.io.atomic import read_json
from harness.io.digests import digest
from tests.data.trees import Tree, content, ucf_tree


@pytest.fixture
def ucf(tmp_path: Path) -> Tree:
    """Abuse001 has 6 snippets, Arrest002 has 7."""
    tree = ucf_tree(tmp_path / "ucf")
    tree.change(glances={"path": "glances.csv"})
    tree.text("glances.csv", "video-id,glance", "Abuse001_x264,40", "Arrest002_x264,100", "Arrest002_x264.mp4,8")
    return tree


def test_training_videos_know_where_they_were_clicked(ucf: Tree) -> None:
    report = ucf.load()
    bank = open_bank(ucf.card, None)
    assert report.warnings == ()
    assert dict(bank.glances) == {"Abuse001_x264": (40,), "Arrest002_x264": (8, 100)}
    # In snippets of 16 frames.
    assert bank.split("train").glances == {"Abuse001_x264": (2.5,), "Arrest002_x264": (0.5, 6.25)}
    assert bank.split("test").glances is None
    assert describe(bank)["glances"] == 3
    assert verify(bank) == []


def test_they_change_neither_the_cards_hash_nor_the_banks(ucf: Tree) -> None:
    clicked = ucf.load().bank
    files, whole = dict(clicked.info["files"]), clicked.content_hash
    ucf.edit("glances.csv", "40", "41")
    other = ucf.load().bank
    assert (other.content_hash, other.glances_hash != files[GLANCES]) == (whole, True)
    (ucf.root / "glances.csv").unlink()
    without = ucf.load().bank
    assert (without.content_hash, without.glances_hash, dict(without.glances)) == (whole, "", {})
    assert without.split("train").glances is None
    assert not (without.path / GLANCES).exists()
    ucf.change(glances=None)
    assert ucf.card.digest == without.info["card_hash"]
    # A bank of before the card named the file is still its bank.
    ucf.load()
    ucf.change(glances={"path": "glances.csv"})
    assert open_bank(ucf.card, None).glances_hash == ""


def test_what_deserves_a_look_is_counted(ucf: Tree) -> None:
    rows = ["Abuse028_x264,9", "Nobody_x264,3", "Abuse001_x264,0", "Abuse001_x264,50", "Abuse001_x264,50"]
    ucf.text("glances.csv", "video-id,glance", *rows, "Abuse001_x264,96")
    report = ucf.load()
    assert dict(report.bank.glances) == {"Abuse001_x264": (0, 50, 96)}
    lines = [line.partition("glances.csv: ")[2] for line in report.warnings]
    assert lines == [
        "2 videos with glances not in the training list and not used, such as Abuse028_x264",
        "1 video of the training list, abnormal, without a glance, such as Arrest002_x264",
        "1 video with a glance beyond its last snippet, for which it counts, such as 96 in Abuse001_x264",
        "1 video whose first glance is frame 0, which switches its glances off as published, such as Abuse001_x264",
    ]
    assert all(line in (report.bank.path / "import.txt").read_text() for line in lines)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Normal_Videos001_x264,5", r"glances.csv:2: Normal_Videos001_x264 is normal in the training list"),
        ("Abuse001_x264,-1", "glances.csv:2: glance -1 is no frame"),
        ("Abuse001_x264,1.5", "glances.csv:2: '1.5' is not a whole frame number"),
        ("Abuse001_x264", "glances.csv:2: field 'glance' is empty"),
    ],
)
def test_a_wrong_line_is_one_line(ucf: Tree, row: str, reason: str) -> None:
    ucf.text("glances.csv", "video-id,glance", row)
    with pytest.raises(UserError, match=reason):
        ucf.load()


def test_frames_of_segments_are_unknown(ucf: Tree) -> None:
    path = Path(ucf.write_card())
    fields = yaml.safe_load(path.read_text()) | {"alignment": {"kind": "segments"}, "frame_counts": "frames.csv"}
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(UserError, match="glances are frames, which need a stride"):
        read_card(path)


def test_a_damaged_file_is_refused(ucf: Tree) -> None:
    bank = ucf.load().bank
    (bank.path / GLANCES).write_text("{}")
    assert any(GLANCES in line for line in verify(Bank(bank.path)))
    with pytest.raises(UserError, match=r"glances.json: content changed since it was imported"):
        Bank(bank.path).split("train")


def test_they_go_to_hugging_face_and_back(ucf: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = ucf.load().bank
    before = content(bank)
    assert GLANCES in before
    export_bank(bank, tmp_path / "exported")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "another home"))
    again = import_exported(tmp_path / "exported", ucf.card)
    assert content(again) == before
    assert again.glances == bank.glances


def test_the_demo_has_a_click_in_every_event_and_the_hash_of_its_features_alone(demo: Bank) -> None:
    abnormal = [item.video for item in demo.split("train").items if item.labels != (0,)]
    assert sorted(demo.glances) == sorted(abnormal)
    assert {len(frames) for frames in demo.glances.values()} == {1, 2}
    lengths = {item.video: item.snippets for item in demo.split("train").items}
    assert all(0 <= frame < 16 * lengths[video] for video, frames in demo.glances.items() for frame in frames)
    files = demo.info["files"]
    assert demo.content_hash == digest(
        *(f"{name}={files[name]}" for name in ("train.npy", "train.json", "test.npy", "test.json", "truth.json"))
    )


def test_every_event_of_the_demo_is_clicked_once(demo: Bank) -> None:
    for video, _, _, _, events in _World(demo.card).videos("train"):
        for frame in demo.glances.get(video, ()):
            assert any(event.start <= frame < event.end for event in events), video
        for event in events:
            assert any(event.start <= frame < event.end for frame in demo.glances[video]), video


def test_the_built_in_cards_name_a_file_of_them() -> None:
    for name in ("ucf-crime", "xd-violence"):
        card = find_card(name)
        assert card.glances is not None
        assert card.digest == card.model_copy(update={"glances": None}).digest


def test_the_index_holds_no_click(ucf: Tree) -> None:
    bank = ucf.load().bank
    assert all(set(row) == {"video", "crop", "snippets", "labels"} for row in read_json(bank.path / "train.json"))
