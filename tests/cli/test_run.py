"""The main job through the command line, on the demo set with short trainings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.bank import Bank
from harness.records.predictions import Predictions

Call = Callable[..., tuple[int, str, str]]
SHORT = ("--set", "deepmil.epochs=2", "--set", "deepmil.steps_per_epoch=4")
SMALL = (
    *("--set", "dsanet.epochs=2", "--set", "dsanet.steps_per_epoch=2", "--set", "dsanet.visual_length=16"),
    *("--set", "dsanet.batch=4", "--set", "dsanet.text_adapt_until=1", "--set", "dsanet.visual_layers=1"),
)


def _run(harness: Call, out: Path, *arguments: str) -> dict:
    code, stdout, stderr = harness("run", "--out", str(out), "--json", *arguments)
    assert code == 0, stderr
    return json.loads(stdout)


def _file(run: dict, name: str) -> bytes:
    return (Path(run["directory"]) / name).read_bytes()


@pytest.mark.usefixtures("demo")
def test_main_job_writes_runs_leaderboard_and_report(harness: Call, tmp_path: Path) -> None:
    methods = "dsanet,baseline,linear-probe,clip-zeroshot"
    document = _run(harness, tmp_path, "--methods", methods, *SMALL, *SHORT)
    assert [run["status"] for run in document["runs"]] == ["ok"] * 4
    assert [run["method"] for run in document["runs"]] == ["dsanet", "deepmil", "linear-probe", "clip-zeroshot"]
    for run in document["runs"]:
        assert 0 < run["metrics"]["frame_ap"] < run["metrics"]["frame_auc"] < 1
        assert ("map_avg" in run["metrics"]) == (run["method"] in ("dsanet", "clip-zeroshot"))
        directory = Path(run["directory"])
        names = {path.name for path in directory.iterdir()}
        assert names >= {"run.json", "config.json", "predictions.npz", "truth.json", "history.json", "log.txt"}
        assert Predictions.load(directory / "predictions.npz").videos
        assert run["spec"]["text_tower"].startswith("seeded") == (run["method"] in ("dsanet", "clip-zeroshot"))
    rows = {board["asked"]["track"]: len(board["rows"]) for board in document["leaderboard"]}
    assert rows == {"weak": 3, "zero-shot": 1}, "what trains on no video competes with nobody who does"
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *("index.html", "leaderboard.md", "leaderboard.csv", "leaderboard.json"),
        *("assets", "boards", "data", "methods", "runs"),
    }
    assert not list((tmp_path / ".work").glob("*")), "nothing unfinished stays"
    code, stdout, _ = harness("list", "runs", "--out", str(tmp_path), "--json")
    assert code == 0
    assert {run["method"] for run in json.loads(stdout)["runs"]} == {run["method"] for run in document["runs"]}


@pytest.mark.usefixtures("demo")
def test_same_seed_same_bytes_other_seed_others(harness: Call, tmp_path: Path) -> None:
    """Of one method; that another's runs have the same bytes is part of how an interrupted one resumes."""
    arguments = ("--methods", "deepmil", *SHORT)
    one = _run(harness, tmp_path / "one", *arguments, "--seeds", "3,4")["runs"]
    two = _run(harness, tmp_path / "two", *arguments, "--seeds", "3")["runs"]
    for name in ("predictions.npz", "checkpoint.safetensors"):
        assert _file(one[0], name) == _file(two[0], name)
        assert _file(one[0], name) != _file(one[1], name)


@pytest.mark.usefixtures("demo")
def test_a_report_may_be_left_for_later(harness: Call, tmp_path: Path) -> None:
    code, stdout, stderr = harness("run", "--out", str(tmp_path), "--methods", "random", "--no-report")
    assert code == 0, stderr
    assert "random-demo-s0" in stdout
    assert not (tmp_path / "report").exists()
    document = _run(harness, tmp_path, "--methods", "random", "--no-report")
    assert [run["status"] for run in document["runs"]] == ["skipped"]
    assert document["leaderboard"] == []
    assert harness("report", "--out", str(tmp_path))[0] == 0
    assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.usefixtures("demo")
def test_finished_runs_are_skipped_until_rerun(harness: Call, tmp_path: Path) -> None:
    arguments = ("--methods", "baseline", *SHORT)
    (first,) = _run(harness, tmp_path, *arguments)["runs"]
    stamp = (Path(first["directory"]) / "run.json").stat().st_mtime_ns
    (again,) = _run(harness, tmp_path, *arguments)["runs"]
    assert (again["status"], again["metrics"]) == ("skipped", first["metrics"])
    assert (Path(first["directory"]) / "run.json").stat().st_mtime_ns == stamp
    (rerun,) = _run(harness, tmp_path, *arguments, "--rerun")["runs"]
    assert rerun["status"] == "ok"
    assert (Path(first["directory"]) / "run.json").stat().st_mtime_ns > stamp


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(("method", "settings"), [("deepmil", SHORT), ("dsanet", SMALL)])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, settings: tuple[str, ...]
) -> None:
    arguments = ("--methods", method, *settings)
    (whole,) = _run(harness, tmp_path / "whole", *arguments)["runs"]
    import harness.training.loop as loop

    original, calls = loop.save, []

    def interrupt(*args: object) -> None:
        original(*args)
        calls.append(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", interrupt)
        code, _, stderr = harness("run", "--out", str(tmp_path / "cut"), *arguments)
    assert (code, len(calls)) == (130, 1)
    assert "continues from its last epoch" in stderr
    starts: list[int] = []
    restore = loop.restore
    monkeypatch.setattr(loop, "restore", lambda *args: starts.append(1) or restore(*args))
    (resumed,) = _run(harness, tmp_path / "cut", *arguments)["runs"]
    assert starts, "the second half started from the checkpoint"
    for name in ("predictions.npz", "checkpoint.safetensors"):
        assert _file(whole, name) == _file(resumed, name)


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("rule", ["val", "oracle", "paper"])
def test_selection_rules(harness: Call, tmp_path: Path, rule: str) -> None:
    arguments = ("--methods", "baseline", "--selection", rule, *SHORT)
    (run,) = _run(harness, tmp_path, *arguments)["runs"]
    selected = run["selected"]
    assert (selected["rule"], selected["looks"], selected["steps"]) == (rule, 2, 8)
    history = json.loads(_file(run, "history.json"))
    assert len(history["looks"]) == 2
    if rule == "oracle":
        assert selected["gap"] >= 0
    else:
        assert selected["gap"] is None
    if rule == "val":
        assert selected["criterion"] == "validation video_auc"
    else:
        assert selected["value"] == pytest.approx(run["metrics"]["frame_auc"], abs=1e-12)


def test_no_test_label_reaches_a_training(
    demo: Bank, harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the rule, the ground truth is withheld while a run is computed; who scores it has it afterwards."""
    import harness.runs.computation as computation
    from harness.errors import HarnessError

    asked: list[str] = []
    train, predict = computation.train, computation.predict

    def refused(call: Callable[..., object]) -> Callable[..., object]:
        def asking(*args: object, **kwargs: object) -> object:
            with pytest.raises(HarnessError, match="withheld"):
                demo.truth()
            asked.append(call.__name__)
            return call(*args, **kwargs)

        return asking

    monkeypatch.setattr(computation, "train", refused(train))
    monkeypatch.setattr(computation, "predict", refused(predict))
    for rule in ("last", "val", "oracle", "paper"):
        _run(harness, tmp_path, "--methods", "baseline", "--selection", rule, *SHORT)
    assert set(asked) == {"train", "predict"}
    assert demo.truth().videos
    assert all(not item.labels for item in demo.split("test").items)


@pytest.mark.usefixtures("demo")
def test_a_failing_method_fails_alone(harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.methods.deepmil import DeepMIL

    def broken(self: DeepMIL, batch: object) -> dict[str, torch.Tensor]:
        return {"hinge": torch.tensor(float("nan"), requires_grad=True), "smooth": torch.tensor(0.0)}

    monkeypatch.setattr(DeepMIL, "training_loss", broken)
    code, stdout, stderr = harness("run", "--methods", "baseline,linear-probe", "--out", str(tmp_path), "--json")
    runs = json.loads(stdout)["runs"]
    assert code == 1
    assert [run["status"] for run in runs] == ["failed", "ok"]
    assert "diverged at step 1: loss term hinge" in runs[0]["error"]
    assert "diverged" in stderr
    assert "Traceback" not in stderr


@pytest.mark.usefixtures("demo")
def test_disk_full_keeps_earlier_results_and_says_so(
    harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("run", "--methods", "linear-probe", "--out", str(tmp_path))
    assert harness(*arguments)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.npz")}

    def full(*args: object, **kwargs: object) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    code, _, stderr = harness(*arguments, "--rerun")
    assert code == 2
    assert "No space left on device" in stderr
    assert len(stderr.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in stderr
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.usefixtures("demo")
def test_an_unreachable_server_loses_nothing(harness: Call, tmp_path: Path) -> None:
    arguments = ("run", "--methods", "linear-probe", "--out", str(tmp_path), "--json")
    code, stdout, stderr = harness(*arguments, "--tracking-uri", "http://127.0.0.1:9")
    assert code == 1
    document = json.loads(stdout)
    assert (document["runs"][0]["status"], document["leaderboard"]) == ("ok", [])
    assert "127.0.0.1:9" in stderr
    assert "Traceback" not in stderr
    code, stdout, _ = harness(*arguments)
    document = json.loads(stdout)
    assert (code, document["runs"][0]["status"]) == (0, "skipped")
    assert document["leaderboard"][0]["rows"][0]["runs"] == [document["runs"][0]["id"]], "sent now, once"
