"""`harness score`: the figures that others computed, every kind of file, and one line for what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.data.bank import Bank
from harness.data.cards import find_card
from harness.data.video_names import match_videos
from harness.errors import UserError
from harness.metrics.alarms import alarms
from harness.metrics.protocol import evaluate
from harness.records.predictions import Predictions
from tests.data.trees import Tree, mask_tree, ucf_tree

Harness = Callable[..., tuple[int, str, str]]

UCF = {"Normal_Videos_003_x264": 5, "Abuse028_x264": 6, "Arrest001_x264": 7}  # snippets of 16 frames
EVENTS = {"Abuse028_x264": [(16, 40)], "Arrest001_x264": [(8, 20), (50, 90)]}


@pytest.fixture
def ucf(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


def _table(counts: dict[str, int], seed: int = 0) -> pd.DataFrame:
    videos = np.repeat(list(counts), list(counts.values()))
    scores = np.random.default_rng(seed).integers(0, 9, len(videos)) / 8
    return pd.DataFrame({"video_id": videos, "pred": scores})


def _csv(path: Path, table: pd.DataFrame) -> str:
    table.to_csv(path, index=False)
    return str(path)


def _scored(harness: Harness, *arguments: str) -> dict[str, Any]:
    code, out, err = harness("score", *arguments, "--json")
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def _refused(harness: Harness, *arguments: str) -> str:
    code, out, err = harness("score", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    return err


def _by_frame(table: pd.DataFrame, step: int = 16) -> tuple[float, float]:
    """Frame AUC and AP on the small UCF set, one frame after another."""
    labels, scores = [], []
    for video, rows in table.groupby("video_id", sort=False):
        label = np.zeros(len(rows) * step, int)
        for start, end in EVENTS.get(str(video), []):
            label[start:end] = 1
        labels.append(label)
        scores.append(np.repeat(rows["pred"].to_numpy(), step))
    y, s = np.concatenate(labels), np.concatenate(scores)
    return roc_auc_score(y, s), average_precision_score(y, s)


@pytest.mark.parametrize(
    ("name", "arguments", "auc", "ap", "digits", "counted"),
    [
        ("ucf-crime-pel4vad", [], 0.9010549387653376, 0.4113813226872799, 12, (69_355, "snippets")),
        ("shanghaitech-pel4vad", [], 0.9870925485199036, 0.7796699518486523, 12, (8_932, "snippets")),
        ("ucf-crime-c3d-mil", ["--dataset", "ucf-crime-c3d"], 0.69006, 0.19187, 5, (1_111_808, "frames")),
        ("ucf-crime-c3d-mil", ["--dataset", "ucf-crime@exact"], 0.69006, 0.19187, 5, (1_111_808, "frames")),
    ],
)
def test_real_predictions_score_as_computed_elsewhere(
    shared: Path,
    harness: Harness,
    name: str,
    arguments: list[str],
    auc: float,
    ap: float,
    digits: int,
    counted: tuple[int, str],
) -> None:
    if arguments:
        arguments = [*arguments, "--root", str(shared / "real/ucf-crime-r3d34")]
    found = _scored(harness, str(shared / f"real/predictions/{name}.csv.gz"), *arguments)
    assert abs(found["metrics"]["frame_auc"] - auc) < (0.5 * 10**-digits if digits < 9 else 1e-12)
    assert abs(found["metrics"]["frame_ap"] - ap) < (0.5 * 10**-digits if digits < 9 else 1e-12)
    assert (found["counted"], found["unit"]) == counted
    assert found["frames"] == (counted[0] if counted[1] == "frames" else None)
    for metric in ("frame_auc", "frame_ap"):
        low, high = found["intervals"][metric]
        assert low < found["metrics"][metric] < high
    assert found["excluded"] == []


def test_ground_truth_without_features_is_that_of_the_import(ucf: Tree, harness: Harness, tmp_path: Path) -> None:
    table = _table(UCF)
    file, card = _csv(tmp_path / "s.csv", table), ucf.write_card()
    refusal = _refused(harness, file, "--dataset", card)
    assert "has not been imported; scoring needs no features" in refusal
    assert "(annotations.txt) with --root" in refusal
    by_files = _scored(harness, file, "--dataset", card, "--root", str(ucf.root))
    assert (by_files["videos"], by_files["frames"], by_files["rows"]) == (3, 288, "snippets of 16 frames")
    auc, ap = _by_frame(table)
    assert by_files["metrics"]["frame_auc"] == pytest.approx(auc, abs=1e-12)
    assert by_files["metrics"]["frame_ap"] == pytest.approx(ap, abs=1e-12)
    ucf.load()
    assert _scored(harness, file, "--dataset", card) == by_files
    # An annotation file that names every test video does without the list.
    (ucf.root / "test.csv").unlink()
    assert _scored(harness, file, "--dataset", card, "--root", str(ucf.root))["metrics"] == by_files["metrics"]


def test_every_kind_of_file_scores_the_same(demo: Bank, harness: Harness, tmp_path: Path) -> None:
    items, truth = demo.split("test").items, demo.truth()
    table = _table({item.video: item.snippets for item in items})
    offsets = demo.split("test").offsets
    scores = table["pred"].to_numpy()
    predictions = Predictions(tuple(i.video for i in items), offsets, scores, truth.alignment, truth.classes)
    expected = evaluate(predictions, truth)
    predictions.save(tmp_path / "s.npz")
    table.to_parquet(tmp_path / "s.parquet")
    table.to_csv(tmp_path / "s.csv.gz", index=False)
    frames = np.array([truth.videos[video].frames for video in predictions.videos])
    owner = np.concatenate([offsets[i] + np.arange(n) // 16 for i, n in enumerate(frames)])
    per_frame = pd.DataFrame({"video": table["video_id"].to_numpy()[owner], "score": scores[owner]})
    per_frame.to_parquet(tmp_path / "frames.parquet")
    for name, rows in {"s.npz": 16, "s.parquet": 16, "s.csv.gz": 16, "frames.parquet": 1}.items():
        found = _scored(harness, str(tmp_path / name), "--dataset", "demo")
        assert found["metrics"] == pytest.approx(expected.metrics, abs=1e-12), name
        assert found["class_auc"] == pytest.approx(expected.class_auc, abs=1e-12)
        assert (found["videos"], found["frames"]) == (expected.videos, expected.frames)
        assert found["rows"] == ("frames" if rows == 1 else "snippets of 16 frames")
        assert found["alarms"] == []


def test_text_files_of_segments_against_a_card_of_strides(harness: Harness, tmp_path: Path) -> None:
    tree = mask_tree(tmp_path / "sh")
    directory = tmp_path / "scores"
    (directory / "anomalous").mkdir(parents=True)
    values = np.arange(32) % 5 / 4
    (directory / "02_002.txt").write_text("\n".join(map(str, values[::-1])))
    (directory / "anomalous" / "02_0015.txt").write_text("\n".join(map(str, values)))
    found = _scored(harness, str(directory), "--dataset", tree.write_card(), "--root", str(tree.root))
    assert (found["rows"], found["videos"], found["frames"]) == ("uniform segments", 2, 98)
    assert 0 < found["metrics"]["frame_auc"] < 1


def test_names_with_folders_extensions_and_crops_mean_their_video(ucf: Tree, harness: Harness, tmp_path: Path) -> None:
    table = _table(UCF)
    plain = _scored(harness, _csv(tmp_path / "p.csv", table), "--dataset", ucf.write_card(), "--root", str(ucf.root))
    spelled = {
        "Abuse028_x264": "Abuse/Abuse028_x264.mp4",
        "Arrest001_x264": "Arrest001_x264__5.npy",
        "Normal_Videos_003_x264": "Normal_Videos003_x264",
    }
    other = _csv(tmp_path / "o.csv", table.assign(video_id=table["video_id"].map(spelled)))
    found = _scored(harness, other, "--dataset", ucf.write_card(), "--root", str(ucf.root))
    assert found["metrics"] == plain["metrics"]


def test_ambiguous_names_are_refused() -> None:
    card = find_card("ucf-crime")
    places, unknown = match_videos(card, ["a__0", "b.mp4", "c"], ["a", "b"], "f")
    assert (places, unknown) == ({"a": 0, "b": 1}, ["c"])
    assert match_videos(card, ["a__0"], ["a", "a__0"], "f") == ({"a__0": 0}, [])
    with pytest.raises(UserError, match=r"f: 'a__0' and 'a__1' both mean video a; keep one"):
        match_videos(card, ["a__0", "a__1"], ["a"], "f")
    with pytest.raises(UserError, match=r"f: 'x/a__1\.npy' may mean a or a__1"):
        match_videos(card, ["x/a__1.npy"], ["a", "a__1"], "f")
    assert match_videos(find_card("shanghaitech"), ["01_0015_i3d.npy"], ["01_0015"], "f")[0] == {"01_0015": 0}


def test_what_does_not_fit_is_one_line_unless_partial(ucf: Tree, harness: Harness, tmp_path: Path) -> None:
    ucf.load()
    card = ucf.write_card()

    def file(counts: dict[str, int]) -> str:
        return _csv(tmp_path / "s.csv", _table(counts))

    fewer = {name: count for name, count in UCF.items() if name != "Arrest001_x264"}
    message = _refused(harness, file(fewer), "--dataset", card)
    assert (
        "1 of the 3 test videos of small-ucf have no scores, such as 'Arrest001_x264'; `harness score --partial`"
        in message
    )
    found = _scored(harness, file(fewer), "--dataset", card, "--partial")
    assert (found["videos"], found["frames"], found["excluded"]) == (2, 176, ["Arrest001_x264"])

    message = _refused(harness, file({**UCF, "Abuse001_x264": 5}), "--dataset", card)
    assert "1 videos are no test videos of small-ucf, such as 'Abuse001_x264'" in message
    found = _scored(harness, file({**UCF, "Abuse001_x264": 5}), "--dataset", card, "--partial")
    assert (found["videos"], found["excluded"], found["ignored"]) == (3, [], ["Abuse001_x264"])

    assert "none of its videos, such as 'x', is a test video" in _refused(
        harness, file({"x": 5}), "--dataset", card, "--partial"
    )
    message = _refused(harness, file({**UCF, "Abuse028_x264": 5}), "--dataset", card)
    assert (
        "Abuse028_x264 has 5 rows; its 96 frames are 6 snippets of 16 frames; `harness score --partial` allows"
        in message
    )
    found = _scored(harness, file({**UCF, "Abuse028_x264": 5}), "--dataset", card, "--partial")
    assert found["frames"] == 288 - 16
    assert found["warnings"] == ["16 frames at the ends of videos have no row and are not scored"]
    assert "has 3 rows" in _refused(harness, file({**UCF, "Abuse028_x264": 3}), "--dataset", card, "--partial")
    message = _refused(harness, file(dict.fromkeys(UCF, 32)), "--dataset", card)
    assert "has 32 rows; its 80 frames are 5 snippets of 16 frames, and 2 other videos do not fit; --rows" in message
    found = _scored(harness, file(dict.fromkeys(UCF, 32)), "--dataset", card, "--rows", "segments")
    assert (found["frames"], found["rows"]) == (288, "uniform segments")


def test_rows_that_may_mean_two_things_are_asked_for(ucf: Tree, harness: Harness, tmp_path: Path) -> None:
    card, root = ucf.write_card(), str(ucf.root)
    table = _table({name: 16 * count for name, count in UCF.items()})
    file = _csv(tmp_path / "s.csv", table)
    message = _refused(harness, file, "--dataset", card, "--root", root)
    assert "its rows may be frames or snippets of 16 frames" in message
    found = _scored(harness, file, "--dataset", card, "--root", root, "--rows", "frames")
    assert (found["frames"], found["rows"]) == (288, "frames")
    assert found["metrics"]["frame_auc"] == pytest.approx(_by_frame(table, step=1)[0], abs=1e-12)
    message = _refused(harness, file, "--dataset", card, "--root", root, "--rows", "segments")
    assert "do not say how long a video is" in message

    tree = mask_tree(tmp_path / "sh")
    tree.change(alignment={"kind": "segments"})
    file = _csv(tmp_path / "m.csv", _table({"02_002": 3, "02_0015": 4}))
    message = _refused(harness, file, "--dataset", tree.write_card(), "--root", str(tree.root))
    assert "may be uniform segments or snippets of 16 frames" in message
    found = _scored(harness, file, "--dataset", tree.write_card(), "--root", str(tree.root), "--rows", "16")
    assert found["rows"] == "snippets of 16 frames"


def test_videos_without_features_are_excluded_or_scored_by_annotations(
    ucf: Tree, harness: Harness, tmp_path: Path
) -> None:
    ucf.array("UCFClipFeatures/Arrest/Arrest001_x264__5.npy", np.zeros((0, 4), np.float32))
    ucf.load()
    file, card = _csv(tmp_path / "s.csv", _table(UCF)), ucf.write_card()
    found = _scored(harness, file, "--dataset", card)
    assert (found["videos"], found["excluded"]) == (2, ["Arrest001_x264"])
    assert "scores of 1 videos are not used" in found["warnings"][0]
    assert _scored(harness, file, "--dataset", card, "--root", str(ucf.root))["videos"] == 3


def test_alarms_need_frames_per_second(ucf: Tree, harness: Harness, tmp_path: Path) -> None:
    ucf.load()
    table = _table(UCF, seed=3)
    file, card = _csv(tmp_path / "s.csv", table), ucf.write_card()
    assert _scored(harness, file, "--dataset", card)["alarms"] == []
    assert "give --fps" in _refused(harness, file, "--dataset", card, "--threshold", "0.4")
    asked = ["--threshold", "0.4", "--threshold", "0.9", "--false-alarms-per-hour", "1500"]
    found = _scored(harness, file, "--dataset", card, "--fps", "25", *asked)
    truth = Bank(ucf.load().bank.path).truth()
    offsets = np.cumsum([0, *UCF.values()])
    predictions = Predictions(tuple(UCF), offsets, table["pred"].to_numpy(), truth.alignment, truth.classes)
    for row, threshold in zip(found["alarms"], (0.4, 0.9), strict=False):
        own = alarms(predictions, truth, threshold, 25.0)
        assert (row["per_hour"], row["recall"], row["delay"]) == (own.per_hour, own.recall, own.delay)
    limited = found["alarms"][2]
    assert limited["false_alarms_per_hour"] == 1500
    assert limited["per_hour"] <= 1500
    ucf.change(fps=25)
    by_card = _scored(harness, file, "--dataset", ucf.write_card())
    assert [row["threshold"] for row in by_card["alarms"]] == [0.5]
    assert by_card["fps"] == 25
    code, out, _ = harness("score", file, "--dataset", ucf.write_card())
    assert code == 0
    assert "3 events, 25 frames per second" in out


def test_frames_per_second_change_no_identity() -> None:
    card = find_card("ucf-crime")
    assert card.fps == 30
    assert card.model_copy(update={"fps": 0.0}).digest == card.digest


def test_scoring_imports_no_training_code(ucf: Tree, tmp_path: Path) -> None:
    file, card = _csv(tmp_path / "s.csv", _table(UCF)), ucf.write_card()
    arguments = ["harness", "score", file, "--dataset", card, "--root", str(ucf.root), "--json", "--fps", "30"]
    code = (
        f"import sys; sys.argv = {arguments!r}\n"
        "from harness.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'mlflow', 'transformers', 'datasets', 'harness.methods'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
