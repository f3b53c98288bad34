"""`data import --partial`: what is there of an incomplete download, what lacks, and who says so afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import Bank
from harness.data.hf import export_bank, import_exported
from harness.data.importers import ImportReport, import_features
from harness.errors import UserError
from harness.runs.method_side import spec_of
from tests.data.layouts import array
from tests.data.trees import Tree, content, features, quiet, ucf_tree

Call = Callable[..., tuple[int, str, str]]
TRAIN, TEST = "UCFClipFeatures/Abuse/Abuse001_x264__{}.npy", "UCFClipFeatures/Abuse/Abuse028_x264__5.npy"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


def _partial(tree: Tree, replace: bool = False) -> ImportReport:
    return import_features(tree.card, None, tree.root, quiet, partial=True, replace=replace)


def _without(tree: Tree, *paths: str) -> Tree:
    for path in paths:
        (tree.root / path).unlink()
    return tree


def test_a_whole_set_is_imported_as_whole(tree: Tree) -> None:
    whole = content(tree.load().bank)
    bank = _partial(tree).bank
    assert (bank.partial, content(bank)) == ("", whole)
    assert "partial" not in bank.info


def test_a_missing_crop_leaves_its_video_and_says_how_many_files_are_there(tree: Tree) -> None:
    report = _partial(_without(tree, TRAIN.format(1)))
    assert report.bank.partial == "5 of 6 training files"
    items = [(item.video, item.crop) for item in report.bank.split("train").items]
    assert ("Abuse001_x264", 0) in items
    assert ("Abuse001_x264", 1) not in items
    assert [lack.what for lack in report.lacks["train"]] == ["Abuse001_x264__1.npy"]


def test_missing_videos_are_counted_by_split_and_class(tree: Tree) -> None:
    bank = _partial(_without(tree, TRAIN.format(0), TRAIN.format(1), TEST)).bank
    assert bank.partial == "2 of 3 training videos, 2 of 3 test videos"
    train, test = bank.shares["train"], bank.shares["test"]
    assert (train.videos, train.all_videos, train.files, train.all_files) == (2, 3, 4, 6)
    assert train.classes == {"Normal": (1, 1), "Abuse": (0, 1), "Arrest": (1, 1)}
    assert (train.missing, test.missing) == (("Abuse001_x264",), ("Abuse028_x264",))
    truth = bank.truth()
    assert list(truth.videos) == ["Normal_Videos_003_x264", "Arrest001_x264"]
    assert truth.excluded == ("Abuse028_x264",)


def test_expected_frames_are_those_of_a_whole_test_set(tree: Tree) -> None:
    tree.change(protocol={"frames": 288, "positives": 76, "variants": {"exact": {"rule": "snippets", "frames": 288}}})
    assert tree.load().bank.variants == ("exact",)
    bank = _partial(_without(tree, TEST), replace=True).bank
    assert bank.truth().frames == 192
    assert bank.variants == ("exact",)
    tree.array(TEST, features(6, 15))
    _without(tree, TRAIN.format(0))
    tree.change(protocol={"frames": 287})
    with pytest.raises(UserError, match="288 test frames, the card expects 287"):
        _partial(tree)


def test_lists_of_a_part_are_a_part(tree: Tree) -> None:
    tree.edit("train.csv", "/home/someone/Desktop/UCFClipFeatures/Abuse/Abuse001_x264__0.npy,Abuse\n", "")
    tree.edit("train.csv", "/home/someone/Desktop/UCFClipFeatures/Abuse/Abuse001_x264__1.npy,Abuse\n", "")
    expected = (
        "2 videos, the card of small-ucf expects 3 in train; if the list is right, the card's `splits.train.videos` "
    )
    with pytest.raises(UserError, match=f"{expected}is wrong; if it is not, .*--partial"):
        tree.load()
    assert _partial(tree).bank.partial == "2 of 3 training videos"
    tree.change(splits={**tree.card.model_dump()["splits"], "train": {"list": "train.csv", "videos": 1}})
    with pytest.raises(UserError, match="2 videos, the card of small-ucf expects 1 in train"):
        _partial(tree)


def test_a_list_that_lacks_a_crop_is_a_part(tree: Tree) -> None:
    tree.edit("train.csv", "/home/someone/Desktop/UCFClipFeatures/Abuse/Abuse001_x264__1.npy,Abuse\n", "")
    with pytest.raises(UserError, match=r"Abuse001_x264 has crops 0, other videos of the list have 0, 1; .*--partial"):
        tree.load()
    report = _partial(tree)
    assert report.bank.partial == "5 of 6 training files"
    assert [lack.what for lack in report.lacks["train"]] == ["crop 1 of Abuse001_x264"]


def test_a_crop_that_was_not_asked_for_may_be_missing(tree: Tree) -> None:
    _without(tree, TRAIN.format(1))
    crops = {"train": frozenset({0}), "test": None}
    bank = import_features(tree.card, None, tree.root, quiet, crops).bank  # type: ignore[arg-type]
    assert (bank.partial, len(bank.split("train").items)) == ("", 3)


def test_a_file_that_was_cut_off_counts_as_missing(tree: Tree) -> None:
    file = tree.root / TEST
    file.write_bytes(file.read_bytes()[:-5])
    (tree.root / TRAIN.format(0)).write_bytes(b"")
    (tree.root / TRAIN.format(1)).write_text("<html>try again later</html>")
    report = _partial(tree)
    assert report.bank.partial == "2 of 3 training videos, 2 of 3 test videos"
    reasons = [lack.what for split in ("train", "test") for lack in report.lacks[split]]  # type: ignore[index]
    assert [word in reason for word, reason in zip(("empty", "not a .npy", "truncated"), reasons, strict=True)] == [
        True
    ] * 3


def test_missing_audio_is_a_missing_file(tmp_path: Path) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    spec = tree.card.model_dump()["features"]["clip"] | {"audio": "__vggish", "audio_dim": 1, "dim": 5}
    tree.change(features={"clip": spec})
    for video, length in (("Normal_Videos001_x264", 5), ("Arrest002_x264", 7), ("Normal_Videos_003_x264", 5)):
        tree.array(f"audio/{video}__vggish.npy", array(video, length, 1))
    for video, length in (("Abuse028_x264", 6), ("Arrest001_x264", 7)):
        tree.array(f"audio/{video}__vggish.npy", array(video, length, 1))
    report = _partial(tree)
    assert report.bank.partial == "2 of 3 training videos"
    assert {lack.what for lack in report.lacks["train"]} == {"Abuse001_x264__vggish.npy"}


def test_abnormal_test_videos_without_annotation_are_left_out(tree: Tree) -> None:
    tree.text("annotations.txt", "Arrest001_x264 Arrest 8 20 -1 -1")
    bank = _partial(tree).bank
    assert bank.partial == "2 of 3 test videos"
    assert list(bank.truth().videos) == ["Normal_Videos_003_x264", "Arrest001_x264"]


def test_nothing_of_a_split_is_an_error(tree: Tree) -> None:
    _without(tree, *(f"UCFClipFeatures/{name}__5.npy" for name in ("Abuse/Abuse028_x264", "Arrest/Arrest001_x264")))
    _without(tree, "UCFClipFeatures/Normal/Normal_Videos_003_x264__5.npy")
    with pytest.raises(UserError, match="holds no feature file of the test list; check --root"):
        _partial(tree)


def test_a_part_takes_the_place_of_a_whole_only_when_asked(tree: Tree) -> None:
    whole = tree.load().bank
    before = content(whole)
    _without(tree, TEST)
    with pytest.raises(UserError, match="imported completely; --replace puts 2 of 3 test videos in its place"):
        _partial(tree)
    assert content(whole) == before
    assert _partial(tree, replace=True).bank.partial == "2 of 3 test videos"
    assert _partial(tree).bank.partial == "2 of 3 test videos"


def test_an_export_stays_a_part(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = _partial(_without(tree, TEST)).bank
    before = content(bank)
    export_bank(bank, tmp_path / "exported")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "another home"))
    assert content(import_exported(tmp_path / "exported", tree.card)) == before


def test_a_run_on_a_part_says_so_and_is_another_run(tree: Tree) -> None:
    from harness.registry import method_class

    cls = method_class("linear-probe")
    rest = {"preset": "fast", "seed": 0, "selection": "last", "device": "cpu", "threads": 1}
    whole = spec_of("linear-probe", cls.Config(), tree.load().bank, None, **rest)
    part = spec_of("linear-probe", cls.Config(), _partial(_without(tree, TEST), True).bank, None, **rest)
    assert (whole.partial, part.partial) == ("", "2 of 3 test videos")
    assert part.identity != part.model_copy(update={"partial": ""}).identity
    # A run on a whole set is the run that it was before there were parts.
    without = type(whole)(**whole.model_dump(exclude={"partial"}))
    assert without.identity == whole.identity


def test_the_command_summarises_and_keeps_the_whole_list(harness: Call, tree: Tree) -> None:
    _without(tree, TRAIN.format(0), TRAIN.format(1), TEST)
    card = tree.write_card()
    code, stdout, stderr = harness("data", "import", card, "--root", str(tree.root), "--partial")
    assert code == 0, stderr
    assert "missing training data: 1 of 3 videos, 2 of 6 listed files (by class: Abuse 1 of 1)" in stderr
    assert "missing test data: 1 of 3 videos, 1 of 3 listed files (by class: Abuse 1 of 1)" in stderr
    assert "incomplete: 2 of 3 training videos, 2 of 3 test videos" in stdout
    assert "missing" in stdout
    found = json.loads(harness("data", "info", "small-ucf", "--json")[1])
    assert found["partial"] == "2 of 3 training videos, 2 of 3 test videos"
    assert [found["splits"][split]["missing"] for split in ("train", "test")] == [1, 1]
    path = Path(found["path"]) / "import.txt"
    lines = path.read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines if line.startswith("missing in")] == [
        *("Abuse001_x264__0.npy", "Abuse001_x264__1.npy", "Abuse028_x264__5.npy")
    ]
    rows = {row["name"]: row["status"] for row in json.loads(harness("data", "list", "--json")[1])["datasets"]}
    assert rows["small-ucf"] == "imported: 2 of 3 training videos, 2 of 3 test videos"


def test_many_empty_videos_and_warnings_are_a_few_lines(harness: Call, tree: Tree) -> None:
    videos = [f"Normal_Videos{number:03}_x264" for number in range(1, 100)]
    for video in videos:
        tree.array(f"more/{video}__0.npy", np.zeros((0, 4), np.float32))
        tree.array(f"more/{video}__1.npy", np.zeros((0, 4), np.float32))
    for crop in (0, 1):
        (tree.root / f"UCFClipFeatures/Normal/Normal_Videos001_x264__{crop}.npy").unlink()
    rows = [f"{video}__{crop}.npy,Normal" for video in videos for crop in (0, 1)]
    rows += [f"{video}__{crop}.npy,{video[:-8]}" for video in ("Abuse001_x264", "Arrest002_x264") for crop in (0, 1)]
    tree.text("train.csv", "path,label", *rows)
    tree.change(splits={**tree.card.model_dump()["splits"], "train": {"list": "train.csv", "videos": 101}})
    code, _, stderr = harness("data", "import", tree.write_card(), "--root", str(tree.root))
    assert code == 0
    told = [line for line in stderr.splitlines() if not line.startswith("import ")]
    assert len(told) == 2, told
    assert told[0].startswith("empty, left out: 99 in train, 0 in test; Normal_Videos001_x264, ")
    assert told[0].endswith("and 96 more")
    whole = Path(told[1].partition(": ")[2])
    assert sum(line.startswith("empty, left out of train: Normal") for line in whole.read_text().splitlines()) == 99


def test_double_precision_is_imported_as_single_and_said(tree: Tree) -> None:
    for crop in (0, 1):
        tree.array(TRAIN.format(crop), features(6, 10 + crop).astype(">f8"))
    report = tree.load()
    (warning,) = report.warnings
    assert "2 files have features in double precision" in warning
    np.testing.assert_array_equal(report.bank.split("train").item_features(2), features(6, 10))


def test_damaged_shares_are_one_line(tree: Tree) -> None:
    bank = _partial(_without(tree, TEST)).bank
    path = bank.path / "bank.json"
    text = path.read_text()
    for old, new in (('"all_videos": 3', '"all_videos": "x"'), ('"partial": {', '"partial": {"val": {},')):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(UserError, match="damaged"):
            Bank(bank.path)


def test_scores_against_a_part_say_so(harness: Call, tree: Tree, tmp_path: Path) -> None:
    card = tree.write_card()
    _partial(_without(tree, TEST))
    scores = tmp_path / "scores.csv"
    rows = [
        f"{video},{0.1 * row}"
        for video, count in (("Normal_Videos_003_x264", 5), ("Arrest001_x264", 7))
        for row in range(count)
    ]
    scores.write_text("video_id,pred\n" + "\n".join(rows))
    code, stdout, stderr = harness("score", str(scores), "--dataset", card, "--json")
    assert code == 0, stderr
    found = json.loads(stdout)
    assert found["excluded"] == ["Abuse028_x264"]
    assert found["warnings"] == ["small-ucf was imported from an incomplete data set: 2 of 3 test videos"]


def test_a_run_and_an_evaluation_carry_it(harness: Call, tree: Tree, tmp_path: Path) -> None:
    card, out = tree.write_card(), str(tmp_path / "runs")
    assert harness("data", "import", card, "--root", str(_without(tree, TRAIN.format(1)).root), "--partial")[0] == 0
    command = ("run", "--methods", "linear-probe", "--dataset", "small-ucf", "--out", out, "--json")
    code, stdout, stderr = harness(*command)
    assert code == 0, stderr
    (run,) = json.loads(stdout)["runs"]
    assert run["spec"]["partial"] == "5 of 6 training files"
    (board,) = json.loads(stdout)["leaderboard"]
    assert board["partial"] == "5 of 6 training files"
    code, stdout, stderr = harness("eval", run["directory"], "--dataset", "small-ucf", "--json")
    assert code == 0, stderr
    assert json.loads(stdout)["partial"] == "5 of 6 training files"
    code, stdout, _ = harness("list", "runs", "--out", out, "--json")
    assert [row["partial"] for row in json.loads(stdout)["runs"]] == ["5 of 6 training files"]
    assert "partial" in harness("list", "runs", "--out", out)[1]
