"""The script for machines with a GPU tries itself out on this one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.plugin import Batch
from harness.training.sampling import Batches
from tests.benchmarks import gpu
from tests.tiny import TinyConfig, split, task
from tests.training.test_watch import Fused

SCRIPT = Path(__file__).with_name("gpu.sh")
CASES = Path(__file__).parents[1] / "parity"


def test_it_tries_itself_out_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.roofline._ROWS", {"cpu": 64})
    monkeypatch.setattr("harness.bench.roofline._NUMBERS", {"cpu": 1 << 16})
    monkeypatch.setattr("harness.bench.roofline._LEAST", 0.001)
    asked = ["--device", "cpu", "--size", "tiny", "--methods", "vadclip", "--out", str(tmp_path)]
    assert gpu.main([*asked, str(CASES / "deepmil-pool")]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    (row,) = found["speeds"]
    assert (row["method"], row["precision"], row["compiled"], row["waits"]) == ("vadclip", "fp32", False, "")
    assert row["steps_per_second"] == pytest.approx(1 / row["roofline"]["seconds"])
    assert row["times_faster_than_plain"] > 0
    assert row["roofline"]["share"] > 0
    assert found["stacked"]["ratio"] > 0
    assert [(row["case"], row["ok"]) for row in found["parity"]] == [("deepmil-pool", True)]
    page = (tmp_path / "gpu.md").read_text()
    assert "| vadclip | fp32 | no |" in page
    assert "| deepmil-pool | yes |" in page


def test_the_script_hands_on_what_it_is_told(tmp_path: Path) -> None:
    said = tmp_path / "python"
    said.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n')
    said.chmod(0o755)
    told = {"DEVICE": "cpu", "SIZE": "tiny", "OUT": "here", "CASES": "one two", "PYTHON": str(said)}
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "METHODS")}
    done = subprocess.run([SCRIPT], env={**kept, **told}, capture_output=True, text=True, check=True)
    expected = "-m tests.benchmarks.gpu --device cpu --size tiny --methods dsanet,vadclip --out here one two"
    assert done.stdout.split() == [str(SCRIPT.parents[2]), *expected.split()]


def test_a_step_that_waits_is_found() -> None:
    method = Fused(TinyConfig(), task()).train()
    batches = Batches(split([9] * 8), np.arange(8), method.sampling(), 0, "tiny-set")
    steps = gpu.Steps(method, batches.batch(0, 0), "cpu")
    assert gpu.waited(steps, "cpu") == ""
    loss = method.training_loss

    def reading(drawn: Batch) -> dict[str, Tensor]:
        terms = loss(drawn)
        float(terms["bce"].detach())
        return terms

    method.training_loss = reading  # type: ignore[method-assign]
    assert gpu.waited(steps, "cpu") == "{'_local_scalar_dense': 2}"


def test_a_case_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(case: object, device: str) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(gpu, "check_case", fails)
    lines: list[str] = []
    rows = gpu.parity([CASES / "deepmil-pool", CASES / "urdmu-loss"], "cpu", lines.append)
    assert [(row["case"], row["ok"], row["worst"]) for row in rows] == [
        ("deepmil-pool", False, "no such operator"),
        ("urdmu-loss", False, "no such operator"),
    ]
    assert lines[0] == "FAILED deepmil-pool"
    stacked = {"method": "deepmil", "seeds": 5, "ratio": 1.5}
    document = {"hardware": "x", "torch": "2", "size": "tiny", "speeds": [], "stacked": stacked, "parity": rows}
    assert "5 seeds of deepmil in one step: 1.50 times" in gpu.markdown(document)
    assert "| deepmil-pool | NO | - | no such operator |" in gpu.markdown(document)


def test_without_a_gpu_it_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit):
        gpu.main(["--methods", "dsanet", "--out", str(tmp_path)])
    assert "DEVICE=cpu SIZE=tiny" in capsys.readouterr().err
