"""The real sets beside the repository, imported with the built-in cards; skipped where they are absent."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import REMARKS
from harness.data.cards import find_card
from harness.data.feature_files import FeatureFiles
from harness.data.importers import import_features
from harness.data.lists import read_list
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
    (warning,) = report.warnings
    assert warning.startswith("5 events end beyond their videos and are cut at the end, the first: ")
    assert sum(line.endswith("; cut") for line in (report.bank.path / REMARKS).read_text().splitlines()) == 5


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
    files = FeatureFiles(tmp_path, find_card("ucf-crime").features["clip-vit-b16"])
    assert all(files.find(row) is not None for row in rows)
