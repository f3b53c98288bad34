"""The real sets beside the repository, imported with the built-in cards; skipped where they are absent."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import SPLITS
from harness.data.cards import find_card
from harness.data.importers import import_features
from harness.data.lists import FeatureFiles, read_list, split_name
from harness.data.verify import describe, verify
from tests.data.trees import quiet


def test_ucf_crime_r3d34(real: Path) -> None:
    report = import_features(find_card("ucf-crime-r3d34"), None, real / "ucf-crime-r3d34", quiet)
    found = describe(report.bank)
    assert verify(report.bank) == []
    assert (found["test_frames"], found["test_positive_frames"]) == (1_101_918, 83_359)
    for split, abnormal, normal in (("train", 50, 56), ("test", 10, 16)):
        names = found["splits"][split]["excluded"]
        assert sum(name.startswith("Normal") for name in names) == normal
        assert len(names) == abnormal + normal
    assert found["splits"]["train"]["videos"] == 1504
    assert found["splits"]["test"]["videos"] == 264
    assert found["splits"]["train"]["mean_norm"] == pytest.approx(10, abs=0.1)
    # Five annotations end one or two frames after their video.
    assert len(report.warnings) == 5


def test_shanghaitech_tracks(real: Path) -> None:
    root = real / "shanghaitech-tracks"
    report = import_features(find_card("shanghaitech-tracks"), None, root, quiet)
    truth = report.bank.truth()
    assert len(truth.videos) == 199
    frames = {row["video"]: int(row["frames"]) for row in csv.DictReader((root / "frames.csv").open())}
    for name, video in truth.videos.items():
        file = root / "frame_labels" / f"{name}.npy"
        mask = np.load(file) if file.exists() else np.zeros(frames[name], dtype=np.uint8)
        np.testing.assert_array_equal(video.mask(), mask)
    assert truth.frames == sum(frames[name] for name in truth.videos)
    assert report.warnings == ()


@pytest.mark.parametrize("name", ["ucf-crime", "xd-violence"])
def test_the_published_lists_and_annotations_fit_their_cards(shared: Path, tmp_path: Path, name: str) -> None:
    """With every row of the lists and features of our own making: one snippet more than the last event needs."""
    card = find_card(name)
    lists = shared / "real" / "lists"
    assert card.annotations is not None
    annotations = (lists / card.annotations.path).read_text()
    last: dict[str, int] = {}
    for line in annotations.splitlines():
        video, *fields = line.split()
        last[video.removesuffix(".mp4")] = max(int(field) for field in fields if field.lstrip("-").isdigit())
    (tmp_path / card.annotations.path).write_text(annotations)
    np.save(tmp_path / "one.npy", np.zeros((1, 512), np.float32))
    for split in SPLITS:
        shutil.copy(lists / card.splits[split].list, tmp_path)
        for row in read_list(lists / card.splits[split].list):
            file = tmp_path / row.path.split("/", 4)[-1]
            file.parent.mkdir(parents=True, exist_ok=True)
            if split == "train":
                file.hardlink_to(tmp_path / "one.npy")
            else:
                snippets = 1 + max(last.get(split_name(row.path, True)[0], 0), 0) // 16
                np.save(file, np.zeros((snippets, 512), np.float32))
    report = import_features(card, None, tmp_path, quiet)
    train = report.bank.split("train").items
    assert (len({item.video for item in train}), len(train)) == {
        "ucf-crime": (1610, 16_100),
        "xd-violence": (3954, 39_540),
    }[name]
    truth = report.bank.truth()
    assert len(truth.videos) == card.splits["test"].videos
    assert sum(video.abnormal for video in truth.videos.values()) == {"ucf-crime": 140, "xd-violence": 500}[name]
    assert sum(len(video.events) for video in truth.videos.values()) > 150


def test_the_ground_truth_arrays_of_the_community_are_pickled_and_refused(shared: Path) -> None:
    from harness.data.arrays import read_array
    from harness.errors import UserError

    with pytest.raises(UserError, match=r"gt_label\.npy.*pickle.*refused"):
        read_array(shared / "real" / "lists" / "gt_label.npy")


def test_every_row_of_the_published_lists_can_be_remapped(shared: Path, tmp_path: Path) -> None:
    rows = read_list(shared / "real" / "lists" / "ucf_CLIP_rgbtest.csv")
    for row in rows:
        file = tmp_path / "/".join(row.path.split("/")[-2:])
        file.parent.mkdir(exist_ok=True)
        file.touch()
    files = FeatureFiles(tmp_path)
    assert all(files.find(row) is not None for row in rows)
