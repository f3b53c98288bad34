"""Ten methods that cheat or harm, through real workers: what becomes of each, and that nothing else notices.

The table of `docs/isolation.md` names these tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from harness.check import run_checks
from tests.runs.executors.conftest import ROOT, install

Run = Callable[..., tuple[int, dict, str]]
# Each takes a process; those after which a run ends well share one.
DEEDS = (
    *("patch+dtype+chdir", "patch-raise", "keep", "keep-again", "bank", "disk", "leave+program+batch"),
    *("write", "write-raw", "fork", "leak", "leak-child", "unspeakable", "nonsense"),
)
OURS = ("deepmil,linear-probe", "--set", "deepmil.epochs=1", "--set", "deepmil.steps_per_epoch=3")
FILES = ("predictions.npz", "checkpoint.safetensors")
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Trial:
    """One command that runs every deed and then two methods of ours, in one worker at a time."""

    place: Path
    document: dict[str, Any]
    stderr: str
    home: Path

    def run(self, deed: str) -> dict[str, Any]:
        """The result of the run of a deed."""
        runs = (run for run in self.document["runs"] if run["method"] == "hostile")
        return next(run for run in runs if deed in run["spec"]["config"]["deed"].split("+"))

    def error(self, deed: str) -> str:
        """Why a deed failed."""
        run = self.run(deed)
        assert run["status"] == "failed"
        return str(run["error"])


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, demo_home: Path, empty_store: Path) -> Trial:
    place = tmp_path_factory.mktemp("trial")
    install(place / "plugin")
    (place / "runs").mkdir()
    (place / "runs" / "mlflow.db").write_bytes(empty_store.read_bytes())
    path = f"{place / 'plugin'}{os.pathsep}{ROOT}"
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HARNESS_HOME": str(demo_home)}
    methods, *short = OURS
    line = [sys.executable, "-m", "harness", "run", "--out", "runs", "--json", "--memory-limit", "1.5GB"]
    line += ["--timeout", "120", "--methods", f"hostile,{methods}", *short, "--set", f"hostile.place={place}"]
    line += ["--sweep", f"hostile.deed={','.join(DEEDS)}"]
    done = subprocess.run(line, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return Trial(place, json.loads(done.stdout), done.stderr, demo_home)


def test_nothing_reaches_the_runs_that_follow(trial: Trial, run: Run, tmp_path: Path) -> None:
    code, clean, _ = run(tmp_path / "clean", "--methods", *OURS, "--executor", "inline")
    assert code == 0
    expected = {each["id"]: Path(each["directory"]) for each in clean["runs"]}
    found = {each["id"]: each for each in trial.document["runs"] if each["method"] != "hostile"}
    assert found.keys() == expected.keys()
    for name, directory in expected.items():
        assert found[name]["status"] == "ok"
        for file in FILES:
            there = trial.place / found[name]["directory"] / file
            assert (directory / file).exists() == there.exists()
            assert not there.exists() or there.read_bytes() == (directory / file).read_bytes()


def test_a_changed_process_is_its_own_affair(trial: Trial) -> None:
    first = trial.run("patch")
    assert first == trial.run("dtype") == trial.run("chdir")
    assert first["status"] == "ok"
    assert (trial.place / "runs" / first["id"] / "run.json").exists(), "where --out said, whatever the directory became"
    assert not (Path("/") / "runs" / first["id"]).exists()


def test_patched_and_failed(trial: Trial) -> None:
    assert trial.error("patch-raise") == "RuntimeError: patched and gone"


def test_the_bank_gives_no_truth(trial: Trial) -> None:
    assert "the ground truth is withheld where a method runs" in trial.error("bank")


def test_a_file_of_ground_truth_is_not_opened(trial: Trial) -> None:
    assert "the ground truth is withheld where a method runs" in trial.error("disk")


def test_what_reads_the_disk_by_other_ways_is_marked(trial: Trial) -> None:
    assert trial.run("program")["status"] == "ok"
    assert (trial.place / "program").read_bytes(), "no wall stands around the disk"
    (board,) = trial.document["leaderboard"]
    marks = {row["method"]: row["unchecked"] for row in board["rows"]}
    assert marks == {"hostile": True, "deepmil": False, "linear-probe": False}


def test_test_features_are_not_kept_for_the_next_run(trial: Trial) -> None:
    for deed in ("keep", "keep-again"):
        directory = trial.place / trial.run(deed)["directory"]
        assert load_file(directory / "checkpoint.safetensors")["seen"] == 0


def test_the_bank_is_not_written(trial: Trial, run: Run, harness: Callable[..., tuple[int, str, str]]) -> None:
    assert trial.error("write").startswith("ValueError: cannot set WRITEABLE flag")
    assert trial.error("write-raw") == "its process was killed by SIGSEGV"
    assert harness("data", "verify", "demo")[0] == 0


def test_a_child_that_sleeps_holds_up_nobody(trial: Trial) -> None:
    assert trial.error("fork") == "its process ended with exit code 5"
    assert gone(int((trial.place / "child").read_text()))


def test_a_child_that_left_its_group_ends_with_the_run(trial: Trial) -> None:
    assert trial.run("leave")["status"] == "ok"
    assert gone(int((trial.place / "left").read_text()))


@pytest.mark.parametrize("deed", ["leak", "leak-child"])
def test_memory_beyond_the_limit_ends_the_run(trial: Trial, deed: str) -> None:
    error = trial.error(deed)
    assert error.startswith("it held ")
    assert error.endswith("more than 1.5 GB (--memory-limit); its process was killed")


def test_other_videos_of_the_batch(trial: Trial, plugin: Path) -> None:
    """It runs, and is marked: the check, which it never passed, finds it."""
    assert trial.run("batch")["status"] == "ok"
    (outcome,) = run_checks("hostile", ["batch"], overrides={"deed": "batch"})
    assert outcome.status == "failed"
    assert "alone and in a batch of 4 videos" in outcome.reason


def test_the_check_sees_what_is_patched(plugin: Path) -> None:
    import torch

    before = torch.sigmoid, torch.Tensor.sigmoid
    try:
        (outcome,) = run_checks("hostile", ["global-state"], overrides={"deed": "patch"})
    finally:
        torch.sigmoid, torch.Tensor.sigmoid = before
    assert (outcome.status, "torch.sigmoid" in outcome.reason) == ("failed", True)


def test_an_error_without_words(trial: Trial) -> None:
    assert trial.error("unspeakable") == "Unspeakable"


def test_words_that_are_none(trial: Trial) -> None:
    assert trial.error("nonsense").startswith("its process sent what is no message (")


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
