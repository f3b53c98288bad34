"""`harness score` on files that bring their own labels: what is counted, what is undefined, what is doubtful."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from harness.data.bank import Bank
from harness.metrics.frame import snippet_table
from harness.metrics.variance import estimates
from harness.records.predictions import Predictions
from harness.scoring.own_labels import recognised
from tests.scoring.test_score import Harness, _csv, _refused, _scored, _table


def test_own_labels_have_frames_only_if_told(harness: Harness, tmp_path: Path) -> None:
    table = _table({"a": 6, "b": 4}).assign(gt=[0, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    file = _csv(tmp_path / "s.csv", table)
    found = _scored(harness, file)
    assert (found["videos"], found["frames"], found["dataset"]) == (2, None, None)
    assert (found["counted"], found["unit"], found["rows"]) == (10, "rows", "rows")
    assert found["metrics"]["frame_auc"] == pytest.approx(roc_auc_score(table["gt"], table["pred"]), abs=1e-12)
    longer = _scored(harness, file, "--rows", "16", "--fps", "30")
    assert (longer["frames"], longer["rows"]) == (160, "snippets of 16 frames")
    for word, frames in (("frames", 10), ("snippets", None)):
        asked = _scored(harness, file, "--rows", word)
        assert (asked["counted"], asked["unit"], asked["frames"]) == (10, word, frames)
        assert asked["metrics"] == found["metrics"]
    assert "add --rows NUMBER" in _refused(harness, file, "--rows", "snippets", "--fps", "30")
    assert longer["metrics"] == pytest.approx(found["metrics"], abs=1e-12)
    assert longer["alarms"][0]["events"] == 1
    assert "add --rows" in _refused(harness, file, "--fps", "30")
    assert "needs the frames of every video" in _refused(harness, file, "--rows", "segments")
    assert "--root: belongs to a data set" in _refused(harness, file, "--root", str(tmp_path))
    assert "no column gt; name the data set" in _refused(harness, _csv(tmp_path / "n.csv", table[["video_id", "pred"]]))


def test_the_only_class_of_a_file_is_no_row_of_its_own(harness: Harness, tmp_path: Path) -> None:
    table = _table({"a": 6, "b": 4, "c": 5, "d": 5}, seed=1).assign(gt=[0, 1, 1, 0, 0, 0, *[0] * 8, 1, *[0] * 5])
    code, out, _ = harness("score", _csv(tmp_path / "s.csv", table))
    assert code == 0
    assert "AUC abnormal" not in out
    assert "95% interval over videos" in out
    assert "s.csv on its own labels: 4 videos, 20 rows, which count once each" in out


def test_intervals_are_those_of_leaderboards(demo: Bank, harness: Harness, tmp_path: Path) -> None:
    items, truth = demo.split("test").items, demo.truth()
    table = _table({item.video: item.snippets for item in items})
    found = _scored(harness, _csv(tmp_path / "s.csv", table), "--dataset", "demo")
    predictions = Predictions(
        tuple(item.video for item in items),
        demo.split("test").offsets,
        table["pred"].to_numpy(),
        truth.alignment,
        truth.classes,
    )
    normal = np.array([not video.abnormal for video in truth.videos.values()])
    expected = estimates([snippet_table(predictions, truth)], normal)
    assert {"frame_auc", "frame_ap"} == expected.keys()
    for name, each in expected.items():
        assert found["intervals"][name] == list(each.interval_in_odds())


@pytest.mark.parametrize(
    ("videos", "rows", "unit"),
    [
        (290, 69_355, "snippets"),  # PEL4VAD
        (290, 69_634, "snippets"),  # RTFM
        (290, 1_111_808, "frames"),
        (290, 1_114_144, "frames"),  # padded to whole snippets
        (199, 8_932, "snippets"),
        (290, 290 * 32, None),  # uniform segments
        (289, 69_355, None),
        (290, 75_000, None),
    ],
)
def test_known_test_sets_tell_snippets_from_frames(videos: int, rows: int, unit: str | None) -> None:
    found = recognised(videos, rows)
    assert (found and found[0]) == unit


def test_equal_scores_are_cautioned(harness: Harness, tmp_path: Path) -> None:
    table = _table({"a": 6, "b": 4}).assign(gt=[0, 1, 1, 0, 0, 0, 0, 0, 0, 0], pred=0.5)
    code, out, err = harness("score", _csv(tmp_path / "s.csv", table))
    assert code == 0
    assert "50.00" in out
    assert err == "warning: the scores are all the same (0.5), so no metric of them says anything\n"
    assert err.removeprefix("warning: ").strip() in _scored(harness, str(tmp_path / "s.csv"))["warnings"]


@pytest.mark.parametrize(
    ("label", "metrics", "line"),
    [
        (0, {"false_alarm_rate"}, "frame AUC, AP and mAP are undefined: no test video is abnormal (2 normal)"),
        (1, set(), "frame AUC and AP are undefined: every one of the rows lies in an event"),
    ],
)
def test_labels_of_one_kind_are_one_sentence(
    harness: Harness, tmp_path: Path, label: int, metrics: set[str], line: str
) -> None:
    file = _csv(tmp_path / "s.csv", _table({"a": 6, "b": 4}).assign(gt=label))
    found = _scored(harness, file)
    assert {name for name, value in found["metrics"].items() if value is not None} == metrics
    assert set(found["undefined"]) >= {"frame_auc", "frame_ap", "video_auc"} - metrics
    assert line in found["warnings"]
    code, out, _ = harness("score", file)
    assert code == 0
    assert line.partition(": ")[2] in out
