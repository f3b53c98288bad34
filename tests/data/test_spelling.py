"""One reader of video names: lists, annotations, feature files and predictions may spell a video in many ways."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from harness.data.spelling import split_line, video_of
from harness.data.video_names import match_videos
from tests.data.trees import Tree, features, mask_tree, ucf_tree

FOLDER = "UCFClipFeatures/Abuse"
OTHER = "Überfall 28_x264"


@pytest.mark.parametrize(
    ("path", "video"),
    [
        ("Abuse028_x264", "Abuse028_x264"),
        ("frames/Abuse/Abuse028_x264.mp4", "Abuse028_x264"),
        ("D:\\videos\\Abuse028_x264.AVI", "Abuse028_x264"),
        ("My Disk/Abuse 028.Mkv", "Abuse 028"),
        ("Bad.Boys.1995__#00-26_label_B2-0-0", "Bad.Boys.1995__#00-26_label_B2-0-0"),
        (unicodedata.normalize("NFD", "Überfall.mp4"), "Überfall"),
    ],
)
def test_a_video_has_one_name(path: str, video: str) -> None:
    assert video_of(path) == video


@pytest.mark.parametrize(
    ("line", "known", "expected"),
    [
        ("Abuse028_x264.MP4  Abuse  16  40", (), ("Abuse028_x264", ["Abuse", "16", "40"])),
        ("My Disk/Abuse 028.avi 1412 1 165 240", (), ("Abuse 028", ["1412", "1", "165", "240"])),
        ("Abuse 028  Abuse  16  40", ("Abuse 028",), ("Abuse 028", ["Abuse", "16", "40"])),
        ("Abuse 028  Abuse  16  40", ("Abuse",), ("Abuse", ["028", "Abuse", "16", "40"])),
        ("Normal_Videos003 Normal -1 -1", ("Normal_Videos_003",), ("Normal_Videos003", ["Normal", "-1", "-1"])),
        ("Abuse028_x264", (), ("Abuse028_x264", [])),
    ],
)
def test_a_line_begins_with_a_name_that_may_have_spaces(
    line: str, known: tuple[str, ...], expected: tuple[str, list[str]]
) -> None:
    assert split_line(line, known) == expected


@pytest.fixture
def ucf(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


@pytest.mark.parametrize("extension", [".avi", ".MP4", ".Mkv", ""])
def test_annotations_may_name_any_kind_of_video(ucf: Tree, extension: str) -> None:
    expected = ucf.load().bank.content_hash
    ucf.edit("annotations.txt", "Abuse028_x264.mp4", f"videos/Abuse028_x264{extension}")
    assert ucf.load().bank.content_hash == expected


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("place", ["file", "list", "annotations"])
@pytest.mark.parametrize("extension", [".npy", ".NPY"])
def test_accents_spaces_and_capitals_are_the_same_name_everywhere(
    ucf: Tree, form: str, place: str, extension: str
) -> None:
    spelt = dict.fromkeys(("file", "list", "annotations"), OTHER) | {place: unicodedata.normalize(form, OTHER)}
    (ucf.root / FOLDER / "Abuse028_x264__5.npy").rename(ucf.root / FOLDER / f"{spelt['file']}__5{extension}")
    ucf.edit("test.csv", "Abuse028_x264", spelt["list"])
    ucf.edit("annotations.txt", "Abuse028_x264.mp4", spelt["annotations"])
    bank = ucf.load().bank
    assert [item.video for item in bank.split("test").items][1] == OTHER
    assert bank.truth().videos[OTHER].events
    places, unknown = match_videos(ucf.card, [unicodedata.normalize(form, OTHER)], bank.truth().videos, "f.csv")
    assert (places, unknown) == ({OTHER: 0}, [])


def test_masks_frame_counts_and_file_names_of_cards_too(tmp_path: Path) -> None:
    tree = mask_tree(tmp_path / "masks")
    expected = tree.load().bank.content_hash
    masks = tree.root / "masks"
    (masks / "02_0015.npy").rename(masks / "02_0015.NPY")
    masks.rename(tree.root / unicodedata.normalize("NFD", "Máscaras"))
    tree.change(annotations={"format": "frame-masks", "path": "Máscaras"})
    tree.edit("frames.csv", "02_0015,", "02_0015.AVI,")
    tree.edit("frames.csv", "video,frames", "video;frames")
    path = tree.root / "frames.csv"
    path.write_text(path.read_text().replace(",", ";"))
    assert tree.load().bank.content_hash == expected


def test_two_files_of_one_name_are_both_named(ucf: Tree) -> None:
    from harness.errors import UserError

    np.save(ucf.root / FOLDER / "again.npy", features(6, 15))
    (ucf.root / FOLDER / "again.npy").rename(ucf.root / FOLDER / "Abuse028_x264__5.NPY")
    with pytest.raises(UserError, match=r"test\.csv:3: .*is there twice, .*__5\.NPY and .*__5\.npy; keep one"):
        ucf.load()


@pytest.mark.parametrize("ending", [".mp4", ".AVI", ""])
def test_a_list_may_name_videos_with_or_without_extension(ucf: Tree, ending: str) -> None:
    expected = ucf.load().bank.content_hash
    videos = {"Normal_Videos001_x264": "Normal", "Abuse001_x264": "Abuse", "Arrest002_x264": "Arrest"}
    ucf.text("train.csv", "path,label", *(f"{video}{ending},{label}" for video, label in videos.items()))
    assert ucf.load().bank.content_hash == expected


def test_features_named_after_video_files(ucf: Tree) -> None:
    expected = ucf.load().bank.content_hash
    ucf.edit("test.csv", "Abuse028_x264__5", "Abuse028_x264.mp4__5")
    folder = ucf.root / FOLDER
    (folder / "Abuse028_x264__5.npy").rename(folder / "Abuse028_x264.mp4__5.npy")
    assert ucf.load().bank.content_hash == expected


def test_annotations_of_a_whole_set_go_with_the_lists_of_a_part(ucf: Tree) -> None:
    expected = ucf.load().bank.content_hash
    with (ucf.root / "annotations.txt").open("a") as stream:
        stream.write("Abuse999_x264.avi Abuse 1 2 -1 -1\nRobbery 7.mp4 Robbery 1 2 -1 -1\n")
    report = ucf.load()
    assert report.bank.content_hash == expected
    (warning,) = report.warnings
    assert "annotations.txt: 2 annotated videos are in no list and not used, such as Abuse999_x264" in warning


def test_masks_of_videos_in_no_list_are_counted(tmp_path: Path) -> None:
    tree = mask_tree(tmp_path / "masks")
    tree.array("masks/09_001.npy", np.ones(4, np.uint8))
    (warning,) = tree.load().warnings
    assert "masks: 1 annotated video is in no list and not used, such as 09_001" in warning
