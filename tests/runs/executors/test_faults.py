"""Whatever a method does to its process, the other runs go on, and the failure says what happened."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.tracking.tracker import Tracker

Run = Callable[..., tuple[int, dict, str]]
FAULTS = {
    # First: the others go on beside it.
    "hang": "no end after 20 s (--timeout); its process was killed",
    "raise": "RuntimeError: no such luck",
    "nan": "faulty diverged at step 3: loss term bce is not finite",
    "memory": "MemoryError: cannot allocate 900 GiB",
    "exit": "its process ended with exit code 7",
    "kill": "its process was killed by SIGKILL from outside",
}


@pytest.mark.slow
def test_every_fault_fails_alone(run: Run, tmp_path: Path) -> None:
    sweep = f"faulty.fault={','.join(FAULTS)},print"
    arguments = ("--methods", "faulty,random", "--sweep", sweep, "--jobs", "2", "--timeout", "20")
    code, document, stderr = run(tmp_path / "runs", *arguments)
    assert code == 1
    assert "Traceback" not in stderr
    found = {run["spec"]["config"].get("fault", "random"): run for run in document["runs"]}
    assert found["random"]["status"] == found["print"]["status"] == "ok"
    for fault, expected in FAULTS.items():
        assert found[fault]["status"] == "failed"
        assert found[fault]["error"].startswith(expected)
        assert f"failed: faulty seed 0: {expected}" in stderr
    assert "RuntimeError: no such luck" in found["raise"]["log"].splitlines()[-1]
    assert "in strike" in found["raise"]["log"], "the end of the log shows where"
    tracked = {run.result.id: run.result for run in Tracker(None, tmp_path / "runs").failures()}
    assert {run["id"]: run["log"] for run in document["runs"] if run["status"] == "failed"} == {
        name: result.log for name, result in tracked.items()
    }


def test_what_a_killed_worker_left_is_continued_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    marker = str(tmp_path / "struck")
    arguments = ("--methods", "faulty", "--set", "faulty.fault=kill", "--set", "faulty.at=7")
    arguments = (*arguments, "--set", f"faulty.once={marker}")
    code, first, _ = run(tmp_path / "cut", *arguments)
    assert (code, first["runs"][0]["status"]) == (1, "failed")
    workspace = tmp_path / "cut" / ".work" / first["runs"][0]["id"]
    assert (workspace / "resume.pt").exists()
    code, second, _ = run(tmp_path / "cut", *arguments)
    assert (code, second["runs"][0]["status"]) == (0, "ok")
    code, whole, _ = run(tmp_path / "whole", *arguments, "--executor", "inline")
    assert code == 0
    for name in ("predictions.npz", "checkpoint.safetensors"):
        cut, undisturbed = (Path(each["runs"][0]["directory"]) / name for each in (second, whole))
        assert cut.read_bytes() == undisturbed.read_bytes()
    assert Tracker(None, tmp_path / "cut").failures() == [], "a success replaces the failure"


@pytest.mark.parametrize("damage", ["resume", "bank"])
def test_a_damaged_bank_is_one_line_and_a_damaged_resume_file_a_new_start(
    run: Run, tmp_path: Path, demo_home: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "own home"
    shutil.copytree(demo_home, home)
    monkeypatch.setenv("HARNESS_HOME", str(home))
    marker = str(tmp_path / "struck")
    arguments = ("--methods", "faulty", "--set", "faulty.fault=kill", "--set", "faulty.at=7")
    arguments = (*arguments, "--set", f"faulty.once={marker}")
    code, first, _ = run(tmp_path / "runs", *arguments)
    assert code == 1
    if damage == "resume":
        path = tmp_path / "runs" / ".work" / first["runs"][0]["id"] / "resume.pt"
        path.write_bytes(path.read_bytes()[: 2 * path.stat().st_size // 3])
        expected, ends = "8/8", (0,)  # the worker itself warns, see tests/training/test_loop.py
    else:
        path = next(home.glob("**/train.npy"))
        path.write_bytes(path.read_bytes()[:200])
        expected, ends = "train.npy", (1, 2)
    code, _, stderr = run(tmp_path / "runs", *arguments)
    assert code in ends
    assert expected in stderr
    assert "Traceback" not in stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", place], check=False).returncode:
        pytest.skip("only root may mount")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # this process still holds the store open


@pytest.mark.slow
def test_a_full_disk_stops_the_matrix_in_one_line_and_loses_nothing(run: Run, tmp_path: Path, small_disk: Path) -> None:
    arguments = ("--methods", "linear-probe,faulty", "--seeds", "0,1", "--jobs", "2", "--set", "faulty.at=7")
    arguments = (*arguments, "--set", "faulty.fault=fill", "--set", f"faulty.once={small_disk}/struck")
    code, document, stderr = run(small_disk / "runs", *arguments)
    assert code == 2
    assert document == {}
    # Another run that starts at this moment may be the first to notice.
    assert re.search(r"No space left on device|0\.0\d GB free", stderr.splitlines()[-1])
    assert "Traceback" not in stderr
    finished = {path.parent.name: path.read_bytes() for path in small_disk.glob("runs/*/predictions.npz")}
    assert any(name.startswith("linear-probe") for name in finished)
    (small_disk / "struck.fill").unlink()
    code, document, stderr = run(small_disk / "runs", *arguments)
    assert code == 0, stderr
    assert sorted(r["status"] for r in document["runs"]) == ["ok"] * (4 - len(finished)) + ["skipped"] * len(finished)
    assert (
        finished.items()
        <= {path.parent.name: path.read_bytes() for path in small_disk.glob("runs/*/predictions.npz")}.items()
    )
    assert len(Tracker(None, small_disk / "runs").runs()) == 4
