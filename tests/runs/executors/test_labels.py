"""The ground truth stays with the side that scores, and that side loses nothing that was finished."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import Bank
from harness.data.cards import find_card, open_bank
from harness.errors import HarnessError
from harness.records.alignment import Alignment
from harness.records.label_access import withheld
from harness.records.predictions import Predictions
from harness.records.request import Matrix
from harness.records.truth import GroundTruth
from harness.runs.matrix import plan
from harness.runs.truth_side import Grounds

Command = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., tuple[int, dict, str]]
# Run when a Python process starts; for workers alone, which multiprocessing starts.
SPY = """
import os, sys
if "--multiprocessing-fork" in sys.orig_argv:
    def note(text):
        with open(os.environ["SPY"], "a") as stream:
            stream.write(text + chr(10))
    def hook(event, arguments):
        name = os.path.basename(str(arguments[0])) if event == "open" else ""
        if name.startswith("truth") and name.endswith(".json"):
            note(name)
    note("watching")
    sys.addaudithook(hook)
"""
STAIN = """
import sys
if "--multiprocessing-fork" in sys.orig_argv:
    import torch
    import harness.runs.method_side
    original = harness.runs.method_side.leave
    def leave(directory, method, *rest):
        original(directory, method, *rest)
        if method.card.name == "deepmil":
            torch.set_default_dtype(torch.float64)
            torch.nn.functional.relu = torch.nn.functional.gelu
    harness.runs.method_side.leave = leave
"""
SHORT = ("--set", "deepmil.epochs=2", "--set", "deepmil.steps_per_epoch=2")


def test_no_worker_opens_ground_truth(run: Run, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plugin / "sitecustomize.py").write_text(SPY)
    monkeypatch.setenv("SPY", str(tmp_path / "spied"))
    arguments = ("--methods", "deepmil,linear-probe", *SHORT, "--selection", "last,val,oracle,paper")
    code, document, stderr = run(tmp_path / "runs", *arguments)
    assert code == 0, stderr
    assert set((tmp_path / "spied").read_text().split()) == {"watching"}
    for each in document["runs"]:
        if each["selection"] in ("oracle", "paper") and each["method"] == "deepmil":
            assert each["selected"]["value"] == pytest.approx(each["metrics"]["frame_auc"], abs=1e-12)


def test_a_process_that_was_changed_is_replaced(
    run: Run, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--methods", "deepmil,linear-probe", *SHORT, "--seeds", "0,1")
    code, clean, _ = run(tmp_path / "clean", *arguments, "--executor", "inline")
    assert code == 0
    (plugin / "sitecustomize.py").write_text(STAIN)
    code, stained, _ = run(tmp_path / "stained", *arguments)
    assert code == 0
    for one, two in zip(clean["runs"], stained["runs"], strict=True):
        assert (one["id"], one["metrics"]) == (two["id"], two["metrics"])
        log = (Path(two["directory"]) / "log.txt").read_text()
        changes = [line for line in log.splitlines() if "left its process changed, which is replaced: " in line]
        assert len(changes) == (two["method"] == "deepmil")
        assert all("torch.nn.functional.relu" in line and "torch's default dtype" in line for line in changes)


def test_without_truth(demo: Bank) -> None:
    path = demo.path / "truth.json"
    with withheld():
        for read in (open_bank(find_card("demo"), None).truth, lambda: GroundTruth.load(path), path.read_bytes):
            with pytest.raises(HarnessError, match="the ground truth is withheld where a method runs"):
                read()
        assert demo.split("train").items[0].labels
        assert all(not item.labels for item in demo.split("test").items)
    assert demo.truth().videos


def test_only_rules_that_look_are_answered(demo: Bank, tmp_path: Path) -> None:
    test = demo.split("test")
    offsets = test.offsets
    predictions = Predictions(
        tuple(item.video for item in test.items),
        offsets,
        np.linspace(0, 1, int(offsets[-1])),
        Alignment(kind=demo.card.alignment.kind, stride=demo.card.alignment.stride),
        demo.card.class_names,
    )
    matrix = Matrix(methods=("deepmil",), selection=("last", "val", "oracle", "paper"))
    for order in plan(matrix, tmp_path, 1).orders:
        judge = Grounds().judge(order)
        if order.spec.selection in ("oracle", "paper"):
            assert 0 < judge(predictions) < 1
            continue
        with pytest.raises(HarnessError, match="only the selection rules oracle and paper ask"):
            judge(predictions)


@pytest.mark.slow
def test_killed_between_computing_and_publishing(command: Command, run: Run, tmp_path: Path) -> None:
    """What waits for its score is neither a run yet nor in the way of the next attempt."""
    arguments = ("--methods", "faulty", "--set", "faulty.pause=0.05", "--set", "faulty.epochs=3")
    _, document, _ = run(tmp_path / "whole", *arguments, "--executor", "inline")
    (whole,) = document["runs"]
    process = command(tmp_path / "cut", *arguments)
    deadline = time.monotonic() + 100
    pattern = ".work/faulty*/computed/predictions.npz"
    while not list((tmp_path / "cut").glob(pattern)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    left = [path for path in (tmp_path / "cut").glob("faulty*") if not (path / "run.json").exists()]
    assert left == []
    _, document, stderr = run(tmp_path / "cut", *arguments)
    (again,) = document["runs"]
    assert again["status"] in ("ok", "skipped"), stderr
    for name in ("predictions.npz", "checkpoint.safetensors", "truth.json"):
        assert (Path(again["directory"]) / name).read_bytes() == (Path(whole["directory"]) / name).read_bytes()
    assert list((tmp_path / "cut" / ".work").iterdir()) == []
