"""Every way in which an import can be wrong: one line that says where and what, and the earlier bank as it was."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.bank import bank_path
from harness.errors import UserError
from tests.data.trees import Tree, content, features, mask_tree, ucf_tree

Call = Callable[..., tuple[int, str, str]]
ABUSE = "UCFClipFeatures/Abuse/Abuse028_x264__5.npy"


def _no_root(tree: Tree) -> None:
    tree.root = tree.root / "nowhere"


def _truncated(tree: Tree) -> None:
    file = tree.root / ABUSE
    file.write_bytes(file.read_bytes()[:-5])


def _cut_in_the_header(tree: Tree) -> None:
    file = tree.root / ABUSE
    file.write_bytes(file.read_bytes()[:30])


def _claims_too_much(tree: Tree) -> None:
    with (tree.root / ABUSE).open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 4)}
        np.lib.format.write_array_header_1_0(stream, header)


def _header(at: int, byte: bytes) -> Callable[[Tree], None]:
    """Numpy's parser of the header raises other errors than ValueError for some bytes."""

    def change(tree: Tree) -> None:
        data = bytearray((tree.root / ABUSE).read_bytes())
        data[at : at + 1] = byte
        (tree.root / ABUSE).write_bytes(data)

    return change


def _no_npy(tree: Tree) -> None:
    (tree.root / ABUSE).write_text("not an array")


def _pickled(tree: Tree) -> None:
    (tree.root / ABUSE).write_bytes(pickle.dumps([1.0, 2.0]))


def _objects(tree: Tree) -> None:
    np.save(tree.root / ABUSE, np.array([[1.0], "x"], dtype=object), allow_pickle=True)


def _nan(tree: Tree) -> None:
    array = features(6, 15)
    array[3, 1] = np.nan
    tree.array(ABUSE, array)


def _infinite(tree: Tree) -> None:
    array = features(6, 15)
    array[5, 0] = np.inf
    tree.array(ABUSE, array)


def _not_utf8(tree: Tree) -> None:
    (tree.root / "test.csv").write_bytes(b"path,label\nfeatures/\xff.npy,Abuse\n")


def _add_row(name: str, row: str) -> Callable[[Tree], None]:
    def change(tree: Tree) -> None:
        with (tree.root / name).open("a") as stream:
            stream.write(row + "\n")

    return change


def _edit(name: str, old: str, new: str) -> Callable[[Tree], None]:
    return lambda tree: tree.edit(name, old, new)


def _array(value: Any, path: str = ABUSE) -> Callable[[Tree], None]:
    return lambda tree: tree.array(path, value)


def _remove(*paths: str) -> Callable[[Tree], None]:
    def change(tree: Tree) -> None:
        for path in paths:
            (tree.root / path).unlink()

    return change


def _both(*changes: Callable[[Tree], None]) -> Callable[[Tree], None]:
    def change(tree: Tree) -> None:
        for each in changes:
            each(tree)

    return change


def _split(name: str, **fields: Any) -> Callable[[Tree], None]:
    def change(tree: Tree) -> None:
        splits = tree.card.model_dump()["splits"]
        splits[name].update(fields)
        tree.change(splits=splits)

    return change


TRAIN = "/home/someone/Desktop/UCFClipFeatures"
NOTES = "annotations.txt"
WRONG: dict[str, tuple[Callable[[Tree], None], tuple[str, ...]]] = {
    "missing root": (_no_root, ("nowhere", "no such directory")),
    "missing list": (_remove("test.csv"), ("test.csv", "--root")),
    "missing annotations": (_remove(NOTES), (NOTES, "--root")),
    "empty list": (lambda t: t.text("test.csv", "path,label"), ("test.csv", "empty")),
    "no columns": (
        lambda t: t.text("test.csv", "file,class", "a.npy,Abuse"),
        ("test.csv:1", "path,label", "file,class"),
    ),
    "short row": (_add_row("test.csv", "only-a-path.npy"), ("test.csv:5", "'label'")),
    "list not UTF-8": (_not_utf8, ("test.csv:2", "UTF-8")),
    "null byte": (_add_row("test.csv", "a\0.npy,Abuse"), ("test.csv",)),
    "unknown label": (_edit("test.csv", ",Abuse", ",Abusing"), ("test.csv:3", "'Abusing'", "Normal, Abuse, Arrest")),
    "leaves the root": (_add_row("test.csv", "../other/Abuse030_x264__5.npy,Abuse"), ("test.csv:5", "..")),
    "no crop in the name": (
        _both(_edit("test.csv", "Abuse028_x264__5", "Abuse028_x264"), _array(features(6, 1), "Abuse028_x264.npy")),
        ("test.csv:3", "Abuse028_x264.npy", "__k"),
    ),
    "crop number": (
        _both(
            _edit("test.csv", "Abuse028_x264__5", "Abuse028_x264__10"), _array(features(6, 1), "Abuse028_x264__10.npy")
        ),
        ("test.csv:3", "10", "crop"),
    ),
    "listed twice": (
        _add_row("test.csv", f"{TRAIN}/Abuse/Abuse028_x264__5.npy,Abuse"),
        ("test.csv:5", "test.csv:3", "Abuse028_x264"),
    ),
    "in both lists": (
        _both(
            _add_row("test.csv", f"{TRAIN}/Abuse/Abuse001_x264__2.npy,Abuse"),
            _array(features(6, 1), "UCFClipFeatures/Abuse/Abuse001_x264__2.npy"),
        ),
        ("test.csv:5", "Abuse001_x264", "train"),
    ),
    "two labels": (
        _edit("train.csv", "Abuse001_x264__1.npy,Abuse", "Abuse001_x264__1.npy,Arrest"),
        ("train.csv:5", "Abuse001_x264"),
    ),
    "ambiguous file": (
        _both(
            _remove(ABUSE),
            _array(features(6, 1), "a/Abuse028_x264__5.npy"),
            _array(features(6, 1), "b/Abuse028_x264__5.npy"),
        ),
        ("test.csv:3", "a/Abuse028_x264__5.npy", "b/Abuse028_x264__5.npy"),
    ),
    "missing file": (
        _remove(ABUSE),
        ("test.csv:3", "1 ", "Abuse028_x264__5.npy", "train lacks 0 of 6, test lacks 1 of 3", "--partial"),
    ),
    "truncated": (_truncated, ("Abuse028_x264__5.npy", "truncated", "--partial")),
    "empty file": (lambda t: (t.root / ABUSE).write_bytes(b"") and None, (ABUSE, "an empty file", "--partial")),
    "cut in the header": (_cut_in_the_header, ("Abuse028_x264__5.npy", "truncated")),
    "claims more than memory": (_claims_too_much, ("Abuse028_x264__5.npy", "truncated")),
    "no npy": (_no_npy, ("Abuse028_x264__5.npy", "not a .npy file")),
    "pickled": (_pickled, ("Abuse028_x264__5.npy", "pickle", "refused")),
    "object array": (_objects, ("Abuse028_x264__5.npy", "pickle", "refused")),
    "width": (
        _array(np.zeros((6, 5), np.float32)),
        ("Abuse028_x264__5.npy", "shape (6, 5), expected (snippets, 4) by `features.clip.dim`"),
    ),
    "dimensions": (_array(np.zeros((2, 3, 4), np.float32)), ("Abuse028_x264__5.npy", "(2, 3, 4)")),
    "empty of another shape": (_array(np.zeros((5, 0), np.float32)), ("Abuse028_x264__5.npy", "(5, 0)")),
    "too large for single precision": (_array(np.full((6, 4), 1e200)), ("Abuse028_x264__5.npy", "infinity", "row 0")),
    "whole numbers": (
        _array(np.zeros((6, 4), np.int32)),
        ("Abuse028_x264__5.npy", "int32", "features.astype('float32')"),
    ),
    "another model": (_array(np.zeros((6, 768), np.float32)), ("(6, 768)", "ViT-L/14", "--features", "dim: 768")),
    "transposed": (_array(np.zeros((4, 6), np.float32)), ("(4, 6)", "transposed", "features.T")),
    "crops in one file": (_array(np.zeros((6, 10, 4), np.float32)), ("10 crops in one file", "stacked: true")),
    "batch of one": (_array(np.zeros((1, 6, 4), np.float32)), ("(1, 6, 4)", "features[0]")),
    "NaN": (_nan, ("Abuse028_x264", "row 3")),
    "infinity": (_infinite, ("Abuse028_x264", "row 5")),
    "crops of two lengths": (
        _array(features(9, 1), "UCFClipFeatures/Abuse/Abuse001_x264__1.npy"),
        ("Abuse001_x264__1.npy", "9", "6"),
    ),
    "videos": (_split("test", videos=4), ("test.csv", "3 videos", "4", "small-ucf")),
    "videos per class": (_split("train", classes={"Normal": 2}), ("train.csv", "Normal 1", "2")),
    "annotated twice": (
        _add_row(NOTES, "Abuse028_x264 Abuse 1 2 -1 -1"),
        (f"{NOTES}:4", f"{NOTES}:1", "Abuse028_x264"),
    ),
    "misspelt video": (
        _edit(NOTES, "Abuse028", "Abuse28"),
        ("test.csv:3", "no annotated event", "it has 'Abuse28_x264'"),
    ),
    "annotated nowhere": (
        lambda t: t.text(NOTES, ""),
        ("Abuse028_x264", "no annotated event", "1 others", "--partial"),
    ),
    "no annotations in the card": (
        lambda t: t.change(annotations=None),
        ("2 abnormal test videos, such as Abuse028_x264", "`annotations:`"),
    ),
    "unknown class": (_edit(NOTES, "Abuse  16", "Abusing  16"), (f"{NOTES}:1", "'Abusing'")),
    "another class": (_edit(NOTES, "Abuse  16", "Arrest  16"), (f"{NOTES}:1", "Arrest", "Abuse")),
    "normal with an event": (_edit(NOTES, "Normal  -1  -1", "Normal  5  9"), (f"{NOTES}:3", "normal")),
    "no event": (_edit(NOTES, "16  40", "-1  -1"), ("Abuse028_x264", "no annotated event")),
    "not annotated": (
        lambda t: t.text(NOTES, "Arrest001_x264 Arrest 8 20 -1 -1"),
        ("Abuse028_x264", "no annotated event"),
    ),
    "reversed": (_edit(NOTES, "16  40", "40  16"), (f"{NOTES}:1", "40 16", "reversed")),
    "negative": (_edit(NOTES, "16  40", "-5  40"), (f"{NOTES}:1", "-5 40", "negative")),
    "half an interval": (_edit(NOTES, "-1  -1  ", "-1  "), (f"{NOTES}:1", "start end")),
    "no number": (_edit(NOTES, "16  40", "16  forty"), (f"{NOTES}:1", "forty")),
    "empty path": (_add_row("test.csv", ",Abuse"), ("test.csv:5", "'path'")),
    "damaged header": (_header(26, b"B"), ("Abuse028_x264__5.npy", "damaged")),
    "open bracket in the header": (_header(8, b"("), ("Abuse028_x264__5.npy", "damaged")),
    "segments without frame counts": (
        lambda t: t.change(alignment={"kind": "segments"}),
        ("Normal_Videos_003_x264", "alignment `segments` needs `frame_counts: FILE.csv` at the top level of the card"),
    ),
    "exact without frame counts": (
        lambda t: t.change(protocol={"rule": "exact"}),
        (
            "protocol.rule `exact` needs `frame_counts: FILE.csv`",
            "video,frames and a line for every video of both lists",
        ),
    ),
    "begins after the end": (_edit(NOTES, "16  40", "400  500"), (f"{NOTES}:1", "400", "Abuse028_x264", "96")),
}
WRONG_MASKS: dict[str, tuple[Callable[[Tree], None], tuple[str, ...]]] = {
    "no frame count": (_edit("frames.csv", "02_002,48\n", ""), ("02_002", "frames.csv")),
    "frame count": (_edit("frames.csv", "02_002,48", "02_002,-48"), ("frames.csv:4", "'-48'")),
    "superscript": (_edit("frames.csv", "02_002,48", "02_002,4²"), ("frames.csv:4", "'4²'")),
    "two frame counts": (_add_row("frames.csv", "02_002,49"), ("frames.csv:6", "02_002", "49")),
    "snippets and frames": (_array(features(5, 1, "float16"), "features/02_002.npy"), ("02_002.npy", "5", "48")),
    "masks that are no directory": (
        lambda t: t.change(annotations={"format": "frame-masks", "path": "frames.csv"}),
        ("frames.csv", "expected a directory"),
    ),
    "mask length": (_array(np.ones(49, np.uint8), "masks/02_0015.npy"), ("02_0015.npy", "49", "50")),
    "mask values": (_array(np.full(50, 2, np.uint8), "masks/02_0015.npy"), ("02_0015.npy", "0 and 1")),
    "mask of a normal video": (_array(np.ones(48, np.uint8), "masks/02_002.npy"), ("02_002.npy", "normal")),
    "masks pickled": (
        lambda t: np.save(t.root / "masks/02_0015.npy", np.array([[1], "x"], dtype=object), allow_pickle=True),
        ("02_0015.npy", "pickle", "refused"),
    ),
    "mask all zero": (_array(np.zeros(50, np.uint8), "masks/02_0015.npy"), ("02_0015", "no annotated event")),
    "single precision": (
        _array(features(3, 1), "features/02_002.npy"),
        ("02_002.npy", "float32", "float16", "`dtype: float32`"),
    ),
}


def _refused(harness: Call, tree: Tree, change: Callable[[Tree], None], parts: tuple[str, ...]) -> None:
    before = content(tree.load().bank)
    path = bank_path(tree.card.name, next(iter(tree.card.features)))
    change(tree)
    # Some of the changes are to the card.
    code, stdout, stderr = harness("data", "import", tree.write_card(), "--root", str(tree.root), "--replace")
    assert (code, stdout) == (2, "")
    # Files are read one after another: progress may come first, one line of error comes last.
    *progress, line = stderr.splitlines()
    assert all(re.fullmatch(rf"import {tree.card.name}: \d+/\d+", each) for each in progress), stderr
    assert line.startswith("error: ")
    for part in parts:
        assert part in line
    assert {file.name: file.read_bytes() for file in sorted(path.iterdir())} == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], "something was left behind"


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.replace(" ", "-"))
def test_one_line_says_what_is_wrong(case: str, harness: Call, tmp_path: Path) -> None:
    _refused(harness, ucf_tree(tmp_path / "ucf"), *WRONG[case])


@pytest.mark.parametrize("case", WRONG_MASKS, ids=lambda case: case.replace(" ", "-"))
def test_one_line_says_what_is_wrong_with_masks_and_frame_counts(case: str, harness: Call, tmp_path: Path) -> None:
    _refused(harness, mask_tree(tmp_path / "masks"), *WRONG_MASKS[case])


def test_missing_files_are_counted_and_the_first_three_named(tmp_path: Path) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    for file in sorted((tree.root / "UCFClipFeatures").rglob("*__[01].npy")):
        file.unlink()
    with pytest.raises(UserError) as caught:
        tree.load()
    line = str(caught.value)
    assert "6 " in line
    assert line.count("__0.npy") + line.count("__1.npy") == 3


XD: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown code": ("Abuse028_x264 Arson 16 40", (f"{NOTES}:1", "'Arson'")),
    "two of three": ("Abuse028_x264 Abuse 16", (f"{NOTES}:1", "code start end")),
    "odd": ("Abuse028_x264 16 40 50", (f"{NOTES}:1", "start end")),
    "video alone": ("Abuse028_x264", (f"{NOTES}:1", "1 fields")),
    "fraction": ("Abuse028_x264 16 40.5", (f"{NOTES}:1", "'40.5'")),
    "normal": ("Normal_Videos_003_x264 1 2", (f"{NOTES}:1", "normal")),
}


@pytest.mark.parametrize("case", XD, ids=lambda case: case.replace(" ", "-"))
def test_one_line_says_what_is_wrong_with_annotations_of_xd_violence(case: str, harness: Call, tmp_path: Path) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    tree.change(annotations={"format": "xd", "path": NOTES})
    tree.text(NOTES, "Abuse028_x264 16 40", "Arrest001_x264 Arrest 8 20 Arrest 50 90")
    _refused(harness, tree, lambda t: t.text(NOTES, XD[case][0]), XD[case][1])


CARDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "not YAML": ("dim: 4", "dim: [4", ("not a readable YAML file",)),
    "no such date": ("licence: none", "licence: 2020-99-99", ("not a readable YAML file",)),
    "runs code": ("licence: none", "licence: !!python/object/apply:os.getcwd []", ("not a readable YAML file",)),
    "unknown field": ("dim: 4", "dimension: 4", ("field features.clip.dim missing", "dimension", "did you mean dim?")),
    "field that is near none": (
        "title: Small UCF",
        "title: Small UCF\nframerate: 25",
        ("field framerate is not known; known: name, title, family, ", "fps"),
    ),
    "group without a name": ("names: ''", "names: ([a-z]+)", ("clip.names: the expression has no group (?P<video>",)),
    "no field": ("title: Small UCF\n", "", ("field title missing",)),
    "class count": ("Abuse: 1", "Theft: 1", ("'Theft'", "not a class of the card")),
    "name": ("name: small-ucf", "name: ../small", ("field name",)),
    "feature set that leaves the data directory": ("  clip:", "  ../../clip:", ("features.../../clip",)),
    "dim": ("dim: 4", "dim: 0", ("field features.clip.dim",)),
    "scale": ("scale: 1.0", "scale: .nan", ("field features.clip.scale",)),
    "dtype": ("dtype: float32", "dtype: float64", ("features.clip.dtype",)),
    "stride": ("stride: 16", "stride: 0", ("stride",)),
    "split": ("  test:", "  val:", ("splits",)),
    "two classes of one name": (
        "name: Arrest",
        "name: Abuse",
        ("yaml: field classes: at least two classes with distinct names",),
    ),
    "annotation format": ("format: ucf", "format: csv", ("field annotations.format",)),
}


@pytest.mark.parametrize("case", CARDS, ids=lambda case: case.replace(" ", "-"))
def test_one_line_says_what_is_wrong_with_the_card(case: str, harness: Call, tmp_path: Path) -> None:
    old, new, parts = CARDS[case]
    tree = ucf_tree(tmp_path / "ucf")
    before = content(tree.load().bank)
    card = Path(tree.write_card())
    text = card.read_text()
    assert old in text
    card.write_text(text.replace(old, new, 1))
    code, stdout, stderr = harness("data", "import", str(card), "--root", str(tree.root))
    assert (code, stdout) == (2, "")
    (line,) = stderr.splitlines()
    assert line.startswith(f"error: {card}: ")
    assert "Value error" not in line
    for part in parts:
        assert part in line
    assert {file.name: file.read_bytes() for file in bank_path("small-ucf", "clip").iterdir()} == before
