"""Test sets that leave metrics undefined, and methods whose scores are all the same, from import to report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.data.bank import Item, bank_path
from harness.data.bank_writer import BankWriter
from harness.data.card import DatasetCard
from harness.io.atomic import read_json, replacing_directory
from harness.methods.deepmil import DeepMIL
from harness.records.result import RunResult
from harness.records.truth import Event, GroundTruth, VideoTruth
from tests.data.trees import ucf_tree

Call = Callable[..., tuple[int, str, str]]
SHORT = ("--set", "deepmil.epochs=2", "--set", "deepmil.steps_per_epoch=2")
NORMAL = "frame AUC, AP and mAP are undefined: no test video is abnormal (8 normal)"
POSITIVE = "frame AUC and AP are undefined: every one of the frames lies in an event"
DIM = 512


def bank(directory: Path, test: str, train: tuple[int, ...] = (0, 1, 2)) -> str:
    """Write a bank whose test videos are all "normal", "positive" in every frame, or "mixed"; returns its card."""
    classes = [{"name": name, "prompt": name.lower()} for name in ("Normal", "Fight", "Fire")]
    card = DatasetCard.model_validate(
        {
            "name": f"small-{test}",
            "title": "Small",
            "classes": classes,
            "splits": {"train": {"list": "-", "videos": 16}, "test": {"list": "-", "videos": 8}},
            "alignment": {"kind": "stride", "stride": 16},
            "features": {"i3d": {"dim": DIM, "text_aligned": True}},
            "licence": "none",
            "source": "made up",
        }
    )
    random, truth = np.random.default_rng(0), {}
    with replacing_directory(bank_path(card.name, "i3d")) as path, BankWriter(path, card, "i3d") as writer:
        for number in range(24):
            split, length = ("train" if number < 16 else "test"), 4 + number
            label = train[number % len(train)] if split == "train" else {"normal": 0, "mixed": number % 3}.get(test, 1)
            features = random.standard_normal((length, DIM)).astype(np.float32) + label
            writer.add(split, Item(f"v{number}", 0, length, (label,) if split == "train" else ()), features)
            if split == "test":
                events = (Event(0, 40 if test == "mixed" else 16 * length, label),) if label else ()
                truth[f"v{number}"] = VideoTruth(16 * length, (label,), events)
        writer.finish(GroundTruth(card.name, card.class_names, card.alignment, truth), {}, "test")
    file = directory / f"{card.name}.yaml"
    file.write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    return str(file)


def done(harness: Call, *arguments: str) -> tuple[str, str]:
    """Standard output and error of a command that went through."""
    code, out, err = harness(*arguments)
    assert code == 0, err
    assert "Traceback" not in err
    return out, err


def test_import_warns_of_a_test_set_without_events(harness: Call, tmp_path: Path) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    row = "/home/someone/Desktop/UCFClipFeatures/Normal/Normal_Videos_003_x264__5.npy,Normal"
    tree.text("test.csv", "path,label", row)
    tree.text("annotations.txt", "Normal_Videos_003_x264  Normal  -1  -1  -1  -1  ")
    splits = tree.card.model_dump()["splits"]
    tree.change(splits={**splits, "test": {"list": "test.csv", "videos": 1}})
    _, err = done(harness, "data", "import", tree.write_card(), "--root", str(tree.root))
    line = "small-ucf: frame AUC, AP and mAP are undefined: no test video is abnormal (1 normal)"
    assert f"warning: {line}\n" in err


@pytest.mark.parametrize(("test", "line"), [("normal", NORMAL), ("positive", POSITIVE)])
def test_runs_are_kept_without_what_is_undefined(harness: Call, tmp_path: Path, test: str, line: str) -> None:
    card, out = bank(tmp_path, test), ("--out", str(tmp_path / "runs"))
    # A text method classifies, so that it has a mAP as well where there are events.
    methods = "deepmil,linear-probe,clip-zeroshot"
    stdout, stderr = done(harness, "run", "--methods", methods, "--dataset", card, *SHORT, *out, "--json")
    assert f"small-{test}: {line}; its runs are kept without them\n" in stderr
    document = json.loads(stdout)
    for run in document["runs"]:
        assert run["status"] == "ok"
        assert not {"frame_auc", "frame_ap", "video_auc", "macro_auc"} & set(run["metrics"])
        assert {"frame_auc", "frame_ap", "video_auc", "macro_auc"} <= set(run["undefined"])
        assert ("false_alarm_rate" in run["metrics"]) == (test == "normal")
        assert "finished frame_auc undefined" in (Path(run["directory"]) / "log.txt").read_text()
    classifies = document["runs"][2]
    assert ("map_avg" in classifies["metrics"]) == (test == "positive")
    assert ("map_avg" in classifies["undefined"]) == (test == "normal")
    assert line in document["leaderboard"][0]["cautions"]

    stdout, _ = done(harness, "report", *out, "--formats", "html,md,csv,json,tex")
    assert f"caution: {line}" in " ".join(stdout.split())
    assert read_json(tmp_path / "runs/report/leaderboard.json")["boards"][0]["rows"][0]["rank"] is None
    rows = json.loads(done(harness, "list", "runs", *out, "--json")[0])["runs"]
    assert [row["frame_auc"] for row in rows] == [None] * 3
    assert "│ -" in done(harness, "list", "runs", *out)[0]
    stdout, _ = done(harness, "audit", *out)
    assert "No row has a Frame AUC, so there is nothing to compare." in stdout
    page = str(tmp_path / "page.html")
    stdout, _ = done(harness, "compare", "deepmil", "linear-probe", *out, "--html", page)
    assert f"caution: {line}" in " ".join(stdout.split())
    assert "ahead" not in stdout.partition("test videos of")[0]
    assert line in Path(page).read_text()
    compared = json.loads(done(harness, "compare", "deepmil", "linear-probe", *out, "--json")[0])
    assert [each["seeds"] for each in compared["sides"]] == [1, 1]
    assert compared["pairs"] == []


@pytest.mark.parametrize("rule", ["oracle", "paper"])
def test_rules_that_need_an_undefined_metric_are_refused_before_training(
    harness: Call, tmp_path: Path, rule: str
) -> None:
    card, out = bank(tmp_path, "normal"), tmp_path / "runs"
    arguments = ("--methods", "deepmil", "--dataset", card, *SHORT, "--out", str(out))
    code, stdout, stderr = harness("run", *arguments, "--selection", f"last,{rule}")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert f"--selection {rule}: chooses by the frame_auc of the test set, but on small-normal {NORMAL}" in stderr
    assert not out.exists()


def test_validation_videos_of_one_kind_are_refused_before_training(
    harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import harness.runs.computation as computation

    monkeypatch.setattr(computation, "train", lambda *args: pytest.fail("trained"))
    card = bank(tmp_path, "mixed", train=(0,))
    arguments = ("--methods", "deepmil", "--dataset", card, *SHORT, "--out", str(tmp_path / "runs"))
    code, _, stderr = harness("run", *arguments, "--selection", "val")
    assert code == 1
    assert "--selection val: small-mixed has too few training videos to hold out normal and abnormal ones" in stderr
    assert "all normal" in stderr


def test_eval_shows_what_is_undefined_as_a_dash(harness: Call, tmp_path: Path) -> None:
    mixed, normal, out = bank(tmp_path, "mixed"), bank(tmp_path, "normal"), ("--out", str(tmp_path / "runs"))
    done(harness, "run", "--methods", "deepmil", "--dataset", mixed, *SHORT, *out)
    (weights,) = (tmp_path / "runs").glob("*/checkpoint.safetensors")
    stdout, stderr = done(harness, "eval", str(weights), "--dataset", normal)
    assert f"caution: small-normal: {NORMAL}\n" in stderr
    cells = [[cell.strip() for cell in line.split("│")[1:3]] for line in stdout.splitlines() if line.startswith("│")]
    shown = dict(cells)
    assert shown.pop("False alarms") not in ("-", "")
    assert set(shown.values()) == {"-"}
    document = json.loads(done(harness, "eval", str(weights), "--dataset", normal, "--json")[0])
    assert set(document["metrics"]) == {"false_alarm_rate"}
    assert "frame_auc" in document["undefined"]


def test_scores_that_are_all_the_same_are_cautioned(
    harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, out = bank(tmp_path, "mixed"), ("--out", str(tmp_path / "runs"))
    done(harness, "run", "--methods", "linear-probe", "--dataset", card, *out)
    flat = _flat(monkeypatch)
    stdout, stderr = done(harness, "run", "--methods", "deepmil", "--dataset", card, *SHORT, *out, "--json")
    (run,) = json.loads(stdout)["runs"]
    (caution,) = run["cautions"]
    assert caution.startswith(f"{flat}; the features' mean norm is ")
    assert caution.endswith(f"deepmil expects: {DeepMIL.card.input_scale}")
    assert f"{run['id']}: caution: {caution}" in stderr
    assert f"deepmil seed 0: {caution}" in json.loads(stdout)["leaderboard"][0]["cautions"]
    stdout, _ = done(harness, "report", *out, "--formats", "md")
    assert "caution: deepmil seed 0: the scores are all the same (1)" in " ".join(stdout.split())
    stdout, _ = done(harness, "compare", "deepmil", "linear-probe", *out)
    assert f"caution: deepmil: {flat}" in " ".join(stdout.split())
    _, stderr = done(harness, "eval", f"{run['directory']}/checkpoint.safetensors", "--dataset", card)
    assert f"caution: {caution}\n" in stderr


def _flat(monkeypatch: pytest.MonkeyPatch) -> str:
    """Make every prediction 1, as a saturated sigmoid does."""
    import harness.runs.computation as computation

    predict = computation.predict

    def saturated(*args: Any) -> Any:
        found, seconds = predict(*args)
        return dataclasses.replace(found, scores=np.ones_like(found.scores)), seconds

    monkeypatch.setattr(computation, "predict", saturated)
    return "the scores are all the same (1), so no metric of them says anything"


def test_results_of_earlier_versions_still_open() -> None:
    old = {"id": "a", "method": "m", "dataset": "d", "features": "f", "seed": 0, "selection": "last", "status": "ok"}
    result = RunResult.model_validate(old)
    assert (result.undefined, result.cautions) == ([], [])
