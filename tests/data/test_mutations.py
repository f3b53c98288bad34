"""Malformed lists and annotations, 300 of them drawn at random: one line with file and line number, or no change."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from harness.errors import UserError
from tests.data.layouts import UCF_TEST, UCF_TRAIN, XD_TEST, XD_TRAIN, array, small
from tests.data.mutations import CSV, ENCODING, HARMLESS, INTERVALS, LIST, NUMBERS, Mutation, field
from tests.data.trees import Tree, mask_tree


def _ucf(root: Path) -> Tree:
    tree = small("ucf-crime", "clip-vit-b16", root, {"Normal": 1, "Abuse": 1}, {"Normal": 1, "Abuse": 1})
    for split, videos, crops in (("", UCF_TRAIN, (0, 1)), ("test", UCF_TEST, (5,))):
        rows = [f"/home/x/{v}__{k}.npy,{'Normal' if 'Normal' in v else 'Abuse'}" for v in videos for k in crops]
        tree.text(f"ucf_CLIP_rgb{split}.csv", "path,label", *rows)
        for video in videos:
            for crop in crops:
                tree.array(f"clip/{video}__{crop}.npy", array(f"{video}__{crop}", 6))
    tree.text(
        "Temporal_Anomaly_Annotation.txt",
        "Abuse028_x264.mp4  Abuse  16  40  50  90",
        "Normal_Videos_003_x264  Normal  -1  -1  -1  -1",
    )
    return tree


def _xd(root: Path) -> Tree:
    tree = small("xd-violence", "i3d-1024", root, {"A": 1, "B2": 1}, {"A": 1, "B2": 1, "B6": 1, "G": 1})
    for name, videos in (("rgb", XD_TRAIN), ("rgb_test", XD_TEST)):
        tree.text(f"{name}.list", *(f"/media/x/{video}__{k}.npy" for video in videos for k in range(2)))
        for video in videos:
            for k in range(2):
                tree.array(f"{video}__{k}.npy", array(f"{video}__{k}", 6))
    tree.text("annotations_multiclasses.txt", f"{XD_TEST[0]} B2 12 17 G 30 60")
    return tree


def _tad(root: Path) -> Tree:
    tree = small("tad", "clip-vit-b16", root, {"Normal": 1, "Accident": 1}, {"Normal": 1, "Accident": 1})
    tree.text("TAD_train.txt", "frames/abnormal/01_Accident_001.mp4 0 80 1", "frames/normal/Normal_001.mp4 0 80 0")
    tree.text(
        "TAD_test.txt", "frames/abnormal/01_Accident_006.mp4 76 1 10 30", "frames/normal/Normal_008.mp4 77 0 0 77"
    )
    for video in ("01_Accident_001", "Normal_001", "01_Accident_006", "Normal_008"):
        tree.array(f"{video}.npy", array(video))
    return tree


def _msad(root: Path) -> Tree:
    tree = small("msad", "i3d-2048", root, {"Normal": 1, "Fire": 1}, {"Normal": 1, "Assault": 1})
    for name, videos in (
        ("msad-i3d", ("Fire_1", "MSAD_normal_mall1")),
        ("msad-i3d-test", ("Assault_2", "MSAD_normal_testing_1")),
    ):
        tree.text(f"{name}.list", *(f"{video}_i3d.npy" for video in videos))
        for video in videos:
            tree.array(f"{video}_i3d.npy", array(video, 5, 10, 3))
    head = "name,scenario,total frames,starting frame of anomaly,ending frame of anomaly"
    tree.text("anomaly_annotation.csv", head, "Fire_1,mall,76,30,40", "Assault_2,shop,75,55,70")
    return tree


# A file of a tree, the first of its rows that may change (-1: only the first line), and what may go wrong there.
CASES: dict[str, tuple[Callable[[Path], Tree], str, int, dict[str, Mutation]]] = {
    "ucf train csv": (_ucf, "ucf_CLIP_rgb.csv", 1, {**LIST, **CSV}),
    "ucf test csv": (_ucf, "ucf_CLIP_rgbtest.csv", 1, {**LIST, **CSV}),
    "ucf annotations": (
        *(_ucf, "Temporal_Anomaly_Annotation.txt", -1),
        INTERVALS | {"class": field(1, "Abusing", "15", "Arson", "3"), "row missing": lambda lines, at, rng: b"\n"},
    ),
    "xd list": (_xd, "rgb.list", 0, LIST),
    "xd annotations": (*(_xd, "annotations_multiclasses.txt", -1), INTERVALS | {"class": field(1, "B3", "b2", "A")}),
    "umil train": (_tad, "TAD_train.txt", 0, LIST | {"huge": NUMBERS["huge"], "no number": NUMBERS["no number"]}),
    "umil test": (_tad, "TAD_test.txt", -1, INTERVALS | {"class": field(2, "2", "0", "9")}),
    "msad list": (_msad, "msad-i3d-test.list", 0, LIST),
    "msad csv": (_msad, "anomaly_annotation.csv", 2, INTERVALS),
    "frame counts": (mask_tree, "frames.csv", 1, ENCODING | NUMBERS | {"off": field(1, "0", "17", "400")}),
}
EACH = 30


def _refusal(tree: Tree) -> str:
    """What the import says against a tree, nothing if it takes it."""
    try:
        tree.load()
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_a_slip_is_one_line_with_file_and_line_number_or_changes_nothing(case: str, tmp_path: Path) -> None:
    build, name, first, wrong = CASES[case]
    tree: Tree = build(tmp_path / "tree")
    file = tree.root / name
    whole = file.read_bytes()
    lines = whole.decode().splitlines()
    expected = tree.load().bank.content_hash
    for number in range(EACH):
        rng = Random(f"{case} {number}")
        kind = rng.choice([*wrong, *wrong, *HARMLESS])
        at = rng.randrange(first, len(lines)) if first >= 0 else 0
        file.write_bytes({**HARMLESS, **wrong}[kind](lines, at, rng))
        if kind in HARMLESS:
            assert tree.load().bank.content_hash == expected, kind
            continue
        line = _refusal(tree)
        assert len(line.splitlines()) == 1, (kind, line)
        assert len(line) < 500, (kind, line)
        assert re.match(r"\S+\.(csv|list|txt):[0-9]+: ", line), (kind, line)
    file.write_bytes(whole)
    assert tree.load().bank.content_hash == expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_damaged_bytes_never_end_in_another_error(case: str, tmp_path: Path) -> None:
    build, name, _, _ = CASES[case]
    tree: Tree = build(tmp_path / "tree")
    file = tree.root / name
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 2):
            data[at : at + int(rng.integers(0, 3))] = rng.bytes(int(rng.integers(0, 3)))
        file.write_bytes(bytes(data))
        assert len(_refusal(tree).splitlines()) <= 1
