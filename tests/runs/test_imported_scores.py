"""Scores of another program become a run: on the board of their track, and wherever else runs are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.cards import find_card, open_bank
from harness.records.run_directory import open_run
from tests.runs.test_retests import SHORT, tree

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scores(tmp_path: Path, harness: Call) -> Path:
    """A CSV with a score for each frame of the test videos of `left`, a little right."""
    made = tree(tmp_path / "l", "left", 1)
    code, _, stderr = harness("data", "import", made.write_card(), "--root", str(made.root))
    assert code == 0, stderr
    path, random = tmp_path / "theirs.csv", np.random.default_rng(0)
    lines = ["video_id,pred"]
    for name, video in open_bank(find_card("left"), None).truth().videos.items():
        values = random.random(video.frames) + 0.2 * video.mask()
        lines += [f"{name},{value:.6f}" for value in values]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_they_stand_on_the_board_of_their_track(scores: Path, harness: Call, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert harness("run", "--methods", "deepmil", "--dataset", "left", *SHORT, "--out", str(out), "--no-report")[0] == 0
    named = ("score", str(scores), "--dataset", "left", "--out", str(out), "--json", "--as")
    theirs = ("LAVAD", "--track", "weak", "--source", "https://example.org/\x1b[2Jlavad")
    assert harness(*named, "LAVAD", "--track", "zero-shot")[0] == 0  # which the next one corrects
    code, stdout, stderr = harness(*named, *theirs)
    assert code == 0, stderr
    document = json.loads(stdout)
    run = document["run"]
    assert (run["method"], run["selection"], run["origin"], run["spec"]["track"]) == (
        *("LAVAD", "given", "imported", "weak"),
    )
    said = run["provenance"]
    assert said["scores"] == "imported"
    assert said["scores_sha256"] == hashlib.sha256(scores.read_bytes()).hexdigest()
    assert said["scores_source"].startswith("https://example.org/")
    assert "\x1b" not in said["scores_source"]
    # Means over snippets, so not exactly the number of the frames.
    assert run["metrics"]["frame_auc"] == pytest.approx(document["metrics"]["frame_auc"], abs=0.3)
    assert run["metrics"]["frame_auc"] > document["metrics"]["frame_auc"]
    assert run["cautions"] == ["its rows are frames, averaged over the frames of each snippet"]
    predictions = open_run(Path(run["directory"])).predictions()
    assert np.diff(predictions.offsets).tolist() == [12] * 9
    before = (Path(run["directory"]) / "run.json").stat().st_mtime_ns
    code, stdout, _ = harness(*named, *theirs)
    assert json.loads(stdout)["run"]["id"] == run["id"]
    assert (Path(run["directory"]) / "run.json").stat().st_mtime_ns == before
    assert harness(*named, "Free", "--track", "training-free")[0] == 0
    code, stdout, stderr = harness("report", "--out", str(out), "--json")
    assert code == 0, stderr
    boards = {board["title"]: board for board in json.loads(stdout)["leaderboard"]}
    free = "left · own · training-free (no training at all, scores from elsewhere)"
    assert sorted(boards) == ["left · own", free]
    rows = {row["title"]: row for row in boards["left · own"]["rows"]}
    assert set(rows) == {"DeepMIL", "LAVAD"}
    row = rows["LAVAD"]
    assert (row["rank"], row["claim"], row["unchecked"], row["seeds"]) == (None, "weights", False, [0])
    figure = row["metrics"]["frame_auc"]
    assert figure["videos_low"] < figure["mean"] < figure["videos_high"]
    assert figure["low"] is None
    assert "Imported scores: Free." in " ".join(boards[free]["cautions"])
    page = (out / "report/methods").glob("LAVAD*.html")
    (text,) = [path.read_text(encoding="utf-8") for path in page]
    assert "--as LAVAD --track weak" in text


def test_whatever_reads_runs_reads_them(scores: Path, harness: Call, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    for name in ("LAVAD", "Other_1"):
        asked = ("--as", name, "--track", "training-free", "--out", str(out), "--json")
        code, stdout, stderr = harness("score", str(scores), "--dataset", "left", *asked)
        assert code == 0, stderr
    directory = json.loads(stdout)["run"]["directory"]
    for words in (
        ("audit", "--out", str(out)),
        ("list", "runs", "--out", str(out)),
        ("compare", "LAVAD", "Other_1", "--out", str(out), "--html", str(tmp_path / "c.html")),
        ("submit", directory, "--out", str(tmp_path / "s.zip")),
        ("verify-submission", str(tmp_path / "s.zip")),
        ("report", "--out", str(out), "--formats", "html,md,csv,json,tex"),
    ):
        code, _, stderr = harness(*words)
        assert code == 0, (words, stderr)


def test_what_is_not_recorded(scores: Path, harness: Call, tmp_path: Path) -> None:
    data, named = ("--dataset", "left"), ("--as", "LAVAD", "--track", "training-free")
    for words, said in (
        ((*data, "--track", "weak"), "--track: belongs to scores that are recorded; name their method with --as"),
        ((*data, "--source", "x"), "--source: belongs to scores that are recorded; name their method with --as"),
        (("--as", "LAVAD"), "--as: a run is of a data set; name it with --dataset"),
        ((*data, "--as", "LAVAD"), "--as: say with --track what the method works with: weak, glance, audio-visual, "),
        ((*data, "--as", "LAVAD", "--track", "free"), "--track 'free': expected weak, glance, audio-visual, zero-shot"),
        ((*data, "--as", "DeepMIL", "--track", "weak"), "--as DeepMIL: deepmil is a name of a method here; say whose "),
        (
            (*data, "--as", "a b", "--track", "weak"),
            "--as 'a b': expected letters, digits, - and _, at most 60 of them",
        ),
        ((*data, *named, "--partial"), "--partial and --as: a run has scores of all test videos of an imported data "),
    ):
        code, stdout, stderr = harness("score", str(scores), *words, "--out", str(tmp_path / "runs"))
        assert (code, stdout) == (2, ""), words
        assert stderr.splitlines()[-1].startswith(f"error: {said}"), stderr
    assert not (tmp_path / "runs").exists()
