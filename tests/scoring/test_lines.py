"""What `harness score` says beside each number: unit, interval, what was counted, and why one is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Harness = Callable[..., tuple[int, str, str]]


def scored(harness: Harness, path: Path, rows: list[tuple[str, float, int]], *more: str) -> tuple[dict[str, Any], str]:
    path.write_text("video_id,pred,gt\n" + "".join(f"{video},{score},{label}\n" for video, score, label in rows))
    code, out, err = harness("score", str(path), *more, "--json")
    assert code == 0, err
    shown = harness("score", str(path), *more)
    assert shown[0] == 0
    return json.loads(out), shown[1]


def videos(normal: int, abnormal: int) -> list[tuple[str, float, int]]:
    """Ten rows a video; abnormal ones have a positive middle."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(normal + abnormal):
        labels = [int(index >= normal and 3 <= row < 6) for row in range(10)]
        found += [(f"v{index}", float(np.round(0.2 * label + rng.random(), 3)), label) for label in labels]
    return found


def test_numbers_have_units_and_intervals(harness: Harness, tmp_path: Path) -> None:
    document, shown = scored(harness, tmp_path / "s.csv", videos(6, 6), "--rows", "snippets")
    assert (document["unit"], document["frames"]) == ("snippets", None)
    assert document["metrics"].keys() == document["intervals"].keys()
    for name, value in document["metrics"].items():
        assert document["intervals"][name], document["details"][name]
        low, high = document["intervals"][name]
        assert low < value < high
    details = document["details"]
    assert (details["frame_auc"]["count"], details["frame_auc"]["counted"]) == (120, "snippets of 12 videos")
    assert (details["abnormal_auc"]["count"], details["video_auc"]["counted"]) == (60, "videos")
    assert details["false_alarm_rate"]["counted"] == "snippets of 6 normal videos"
    assert "Snippet AUC" in shown
    assert "Frame" not in shown
    line = next(line for line in shown.splitlines() if "Snippet AUC" in line)
    assert f"{100 * document['metrics']['frame_auc']:.2f} %" in line
    assert "120 snippets of 12 videos" in line


def test_rows_that_are_frames_are_called_frames(harness: Harness, tmp_path: Path) -> None:
    document, shown = scored(harness, tmp_path / "s.csv", videos(6, 6), "--rows", "frames", "--fps", "10")
    assert (document["unit"], document["frames"]) == ("frames", 120)
    assert "120 frames of 12 videos" in shown
    assert "Frame AUC" in shown
    assert "Snippet" not in shown
    table = next(line for line in shown.splitlines() if line.startswith("│ 0.5"))
    assert table.count(" %") == 2  # events met and found
    assert " s " in table  # the delay


def test_one_class_does_not_repeat_the_total(harness: Harness, tmp_path: Path) -> None:
    document, shown = scored(harness, tmp_path / "s.csv", videos(6, 6))
    assert document["class_auc"] == {"abnormal": None}
    assert document["class_details"]["abnormal"]["reason"] == "the only class: the same as over all videos"
    assert "AUC abnormal" not in shown


@pytest.mark.parametrize(
    ("rows", "defined", "reasons"),
    [
        (
            videos(3, 0),
            {"false_alarm_rate"},
            {"frame_auc": "no test video is abnormal (3 normal)", "video_auc": "no test video is abnormal (3 normal)"},
        ),
        (
            [(f"v{index}", 0.1 * index, 1) for index in range(9)],
            set(),
            {
                "frame_auc": "every one of the rows lies in an event",
                "false_alarm_rate": "no test video is normal",
                "macro_auc": "no video has rows both in and out of events",
            },
        ),
    ],
)
def test_what_is_undefined_is_a_dash_with_its_reason(
    harness: Harness, tmp_path: Path, rows: list[tuple[str, float, int]], defined: set[str], reasons: dict[str, str]
) -> None:
    document, shown = scored(harness, tmp_path / "s.csv", rows)
    assert {name for name, value in document["metrics"].items() if value is not None} == defined
    assert {name: document["details"][name]["reason"] for name in reasons} == reasons
    assert all(document["intervals"][name] is None for name in reasons)
    assert document["class_auc"] == {"abnormal": None}
    for reason in reasons.values():
        assert reason in " ".join(shown.split())
    for line in shown.splitlines():
        if line.startswith("│ ") and not any(word in line for word in ("False alarms", "metric")):
            assert line.split("│")[2].strip() == "-", line


def test_a_video_of_a_kind_has_no_interval_and_says_so(harness: Harness, tmp_path: Path) -> None:
    document, shown = scored(harness, tmp_path / "s.csv", videos(1, 5))
    assert document["metrics"]["frame_auc"] > 0
    assert document["intervals"]["frame_auc"] is None
    assert "fewer than two normal videos" in document["details"]["frame_auc"]["reason"]
    assert document["intervals"]["macro_auc"] is not None
    assert "fewer than two normal videos" in shown
