"""What a right import gives: names, intervals, labels, empty videos, text in any of its forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import Bank, bank_path
from harness.data.card_parts import FeatureCard
from harness.data.cards import open_bank
from harness.data.feature_files import FeatureFiles, split_name
from harness.data.lists import ListedFile
from harness.records.truth import Event
from tests.data.trees import Tree, content, features, mask_tree, quiet, ucf_tree


@pytest.fixture
def ucf(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


def test_the_bank_holds_what_the_files_held(ucf: Tree) -> None:
    report = ucf.load()
    bank = open_bank(ucf.card, None)
    assert report.warnings == ()
    train, test = bank.split("train"), bank.split("test")
    assert [(i.video, i.crop, i.snippets, i.labels) for i in train.items[:3]] == [
        ("Normal_Videos001_x264", 0, 5, (0,)),
        ("Normal_Videos001_x264", 1, 5, (0,)),
        ("Abuse001_x264", 0, 6, (1,)),
    ]
    np.testing.assert_array_equal(train.item_features(2), features(6, 10))
    np.testing.assert_array_equal(test.item_features(1), features(6, 15))
    assert all(item.labels == () for item in test.items)


def test_the_truth_is_half_open_in_frames_and_in_list_order(ucf: Tree) -> None:
    truth = ucf.load().bank.truth()
    assert list(truth.videos) == ["Normal_Videos_003_x264", "Abuse028_x264", "Arrest001_x264"]
    assert truth.videos["Abuse028_x264"].events == (Event(16, 40, 1),)
    assert truth.videos["Arrest001_x264"].events == (Event(8, 20, 2), Event(50, 90, 2))
    assert truth.videos["Normal_Videos_003_x264"].events == ()
    assert [video.frames for video in truth.videos.values()] == [80, 96, 112]


def test_one_based_intervals_include_both_ends(ucf: Tree) -> None:
    ucf.change(annotations={"format": "ucf", "path": "annotations.txt", "interval": "one-based"})
    video = ucf.load().bank.truth().videos["Abuse028_x264"]
    assert video.events == (Event(15, 40, 1),)
    assert video.mask().sum() == 25


def test_an_event_beyond_the_end_is_reported_and_scores_only_to_the_end(ucf: Tree) -> None:
    ucf.edit("annotations.txt", "16  40", "90  99")
    report = ucf.load()
    assert len(report.warnings) == 1
    for part in ("annotations.txt:1", "Abuse028_x264", "99", "96"):
        assert part in report.warnings[0]
    assert report.bank.truth().videos["Abuse028_x264"].mask().sum() == 6


def test_byte_order_mark_windows_line_ends_and_a_lists_folder(ucf: Tree) -> None:
    (ucf.root / "lists").mkdir()
    for name in ("train.csv", "test.csv", "annotations.txt"):
        text = (ucf.root / name).read_text().replace("\n", "\r\n")
        (ucf.root / "lists" / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        (ucf.root / name).unlink()
    assert len(ucf.load().bank.split("train").items) == 6


def test_importing_twice_gives_the_same_bytes(ucf: Tree) -> None:
    first = content(ucf.load().bank)
    assert content(ucf.load().bank) == first


def test_empty_videos_are_left_out_and_named(ucf: Tree) -> None:
    ucf.array("UCFClipFeatures/Arrest/Arrest001_x264__5.npy", np.zeros((0, 4), np.float32))
    for crop in (0, 1):
        ucf.array(f"UCFClipFeatures/Normal/Normal_Videos001_x264__{crop}.npy", np.zeros((0, 4), np.float32))
    report = ucf.load()
    bank = Bank(report.bank.path)
    assert bank.excluded == {"train": ("Normal_Videos001_x264",), "test": ("Arrest001_x264",)}
    assert report.excluded == bank.excluded
    assert bank.truth().excluded == ("Arrest001_x264",)
    assert "Arrest001_x264" not in bank.truth().videos
    assert len(bank.split("train").items) == 4


def test_half_precision_files_fill_a_single_precision_bank(ucf: Tree) -> None:
    ucf.array("UCFClipFeatures/Abuse/Abuse028_x264__5.npy", features(6, 1, "float16"))
    rows = ucf.load().bank.split("test").item_features(1)
    np.testing.assert_array_equal(rows, features(6, 1, "float16").astype(np.float32))


def test_masks_become_runs_and_masks_of_training_videos_stay_out(tmp_path: Path) -> None:
    truth = mask_tree(tmp_path / "masks").load().bank.truth()
    assert truth.videos["02_0015"].events == (Event(3, 10, 1), Event(30, 50, 1))
    assert [video.frames for video in truth.videos.values()] == [48, 50]
    assert set(truth.videos) == {"02_002", "02_0015"}


@pytest.mark.parametrize("length", [3, 4])
def test_the_last_part_snippet_may_be_there_or_not(tmp_path: Path, length: int) -> None:
    tree = mask_tree(tmp_path / "masks")
    tree.array("features/02_0015.npy", features(length, 9, "float16"))
    assert tree.load().bank.truth().videos["02_0015"].frames == 50


def test_segments_spread_over_known_frames(tmp_path: Path) -> None:
    tree = mask_tree(tmp_path / "masks")
    tree.change(alignment={"kind": "segments"})
    for video in ("02_002", "02_0015"):
        tree.array(f"features/{video}.npy", features(7, 9, "float16"))
    truth = tree.load().bank.truth()
    assert truth.alignment.kind == "segments"
    assert truth.videos["02_002"].frames == 48


def test_codes_of_xd_violence(tmp_path: Path) -> None:
    tree = ucf_tree(tmp_path / "xd")
    names = {"Normal/Normal_Videos_003_x264": "A", "Abuse/Abuse028_x264": "B2-G-0", "Arrest/Arrest001_x264": "B1-0-0"}
    videos = {f"Bad.Boys.1995__#0{n}-00-00_label_{code}": code for n, code in enumerate(names.values())}
    for number, video in enumerate(videos):
        tree.array(f"XDTestClipFeatures/{video}__0.npy", features(10 + number, number))
    rows = [f"/home/x/XDTestClipFeatures/{video}__0.npy,{code}" for video, code in videos.items()]
    tree.text("test.csv", "path,label", *rows)
    tree.text("train.csv", "path,label", "v=abc__#1_label_B1-B2-0__3.npy,B1-B2-0", "v=abd__#1_label_A__3.npy,A")
    tree.array("v=abc__#1_label_B1-B2-0__3.npy", features(3, 1))
    tree.array("v=abd__#1_label_A__3.npy", features(3, 1))
    many, one = list(videos)[1:]
    tree.text("annotations.txt", f"{many} B2 0 17 G 30 170", f"{one} B1 4 8")
    tree.change(
        name="small-xd",
        classes=[{"name": name, "prompt": name} for name in ("A", "B1", "B2", "G")],
        label_syntax="codes",
        splits={
            "train": {"list": "train.csv", "videos": 2, "classes": {"A": 1, "B1": 1, "B2": 1}},
            "test": {"list": "test.csv", "videos": 3, "classes": {"A": 1, "B1": 1, "B2": 1, "G": 1}},
        },
        annotations={"format": "xd", "path": "annotations.txt"},
    )
    bank = tree.load().bank
    assert bank.split("train").items[0].labels == (1, 2)
    assert bank.split("train").items[0].crop == 3
    truth = bank.truth()
    assert truth.videos[many].labels == (2, 3)
    assert truth.videos[many].events == (Event(0, 17, 2), Event(30, 170, 3))
    tree.text("annotations.txt", f"{many} 0 17 30 170", f"{one} 4 8")
    assert tree.load().bank.truth().videos[one].events == (Event(4, 8, 1),)


PLAIN = FeatureCard(dim=4)
STALE = "/home/xbgydx/Desktop/UCFClipFeatures/Abuse/Abuse001_x264__0.npy"


@pytest.mark.parametrize(
    "place",
    [
        "UCFClipFeatures/Abuse/Abuse001_x264__0.npy",
        "Abuse/Abuse001_x264__0.npy",
        "Abuse001_x264__0.npy",
        "home/xbgydx/Desktop/UCFClipFeatures/Abuse/Abuse001_x264__0.npy",
        "somewhere/else/Abuse001_x264__0.npy",
    ],
)
@pytest.mark.parametrize("written", [STALE, STALE.replace("/", "\\"), STALE.removeprefix("/home/xbgydx/Desktop/")])
def test_a_path_of_another_machine_is_found(tmp_path: Path, place: str, written: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    assert FeatureFiles(tmp_path, PLAIN).find(ListedFile("list.csv:2", written, "Abuse")) == tmp_path / place


def test_features_behind_a_link_are_found_even_if_a_link_leads_back(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "Abuse001_x264__0.npy").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "UCFClipFeatures").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "root")
    found = FeatureFiles(tmp_path / "root", PLAIN).find(ListedFile("list.csv:2", STALE, "Abuse"))
    assert found == tmp_path / "root" / "UCFClipFeatures" / "Abuse001_x264__0.npy"


def test_the_longest_matching_path_wins(tmp_path: Path) -> None:
    for place in ("UCFClipFeatures/Abuse", "Abuse", "."):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "Abuse001_x264__0.npy").touch()
    found = FeatureFiles(tmp_path, PLAIN).find(ListedFile("list.csv:2", STALE, "Abuse"))
    assert found == tmp_path / "UCFClipFeatures/Abuse/Abuse001_x264__0.npy"


@pytest.mark.parametrize(
    ("path", "suffix", "expected"),
    [
        (STALE, True, ("Abuse001_x264", 0)),
        (
            "XD/Bad.Boys.1995__#00-26-51_00-27-53_label_B2-0-0__9.npy",
            True,
            ("Bad.Boys.1995__#00-26-51_00-27-53_label_B2-0-0", 9),
        ),
        ("01_0015.npy", False, ("01_0015", 0)),
        ("a__3.npy", False, ("a__3", 0)),
    ],
)
def test_video_names(path: str, suffix: bool, expected: tuple[str, int]) -> None:
    assert split_name(path, FeatureCard(dim=4, crop_suffix=suffix)) == expected


def test_the_scale_of_the_card_is_applied_when_reading(ucf: Tree) -> None:
    ucf.change(features={"clip": {"dim": 4, "crops": 10, "crop_suffix": True, "scale": 0.5}})
    split = ucf.load().bank.split("test")
    np.testing.assert_array_equal(split.item_features(1), features(6, 15) * np.float32(0.5))


def test_progress_counts_files(ucf: Tree) -> None:
    from harness.data.importers import import_features

    seen: list[tuple[int, int]] = []
    import_features(ucf.card, None, ucf.root, lambda done, total: seen.append((done, total)))
    assert seen[0] == (1, 9)
    assert seen[-1] == (9, 9)
    quiet(*seen[0])
    assert bank_path("small-ucf", "clip").is_dir()
