"""Killed at random moments, parent or worker, a matrix ends complete, with no run twice, in the same bits."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.tracking.tracker import Tracker

Command = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., tuple[int, dict, str]]
# HARNESS_SCALE=1 kills a hundred times over 40 runs, which takes half an hour.
SCALE = bool(os.environ.get("HARNESS_SCALE"))
MATRIX = (
    *("--methods", "faulty,deepmil,linear-probe", "--seeds", ",".join(map(str, range(8 if SCALE else 1)))),
    *("--set", "faulty.pause=0.05", "--sweep", "faulty.epochs=3,6,9", "--set", "deepmil.epochs=3"),
)
# The longest time before a kill is about what the matrix takes, so that most kills meet work.
KILLS, LONGEST = (100, 12) if SCALE else (2, 6)
# What Python itself says in a process that was just started, before any code of ours, when its parent is killed before
# it could say what to do.
UNBORN = re.compile(
    r'Traceback \(most recent call last\):\n  File "<string>", line 1, in <module>\n'
    r'(?:  (?:File ".*multiprocessing/spawn\.py"|  ).*\n)+EOFError: Ran out of input\n'
)


@pytest.mark.slow
def test_killed_at_random(command: Command, run: Run, tmp_path: Path) -> None:
    rng = random.Random(0)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    code, document, stderr = run(whole, *MATRIX, "--executor", "inline")
    assert code == 0, stderr
    expected = {each["id"]: each for each in document["runs"]}
    assert {each["status"] for each in expected.values()} == {"ok"}
    killed = 0
    while killed < KILLS:
        # Later starts find more finished; the last ones would only kill idle time.
        if killed % 10 == 9:
            _forget(cut)
        process = command(cut, *MATRIX, "--jobs", "2")
        deadline = time.monotonic() + rng.uniform(1, LONGEST)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        victims = [process.pid, *_children(process.pid)]
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(victims), signal.SIGKILL)
                killed += 1
        stderr = process.communicate(timeout=900)[1]
        if process.returncode == -signal.SIGKILL:
            stderr = UNBORN.sub("", stderr)
        assert "Traceback" not in stderr, stderr
        assert not [pid for pid in victims if _alive(pid)], "workers go with their parent"
    code, document, stderr = run(cut, *MATRIX, "--jobs", "2")
    found = {each["id"]: each for each in document["runs"]}
    assert code == 0, stderr
    assert found.keys() == expected.keys()
    for name, each in found.items():
        for file in ("predictions.npz", "checkpoint.safetensors", "truth.json"):
            one, two = Path(each["directory"]) / file, Path(expected[name]["directory"]) / file
            assert one.exists() == two.exists()
            assert not one.exists() or one.read_bytes() == two.read_bytes(), one
    tracker = Tracker(None, cut)
    assert sorted(each.result.id for each in tracker.runs()) == sorted(expected)
    assert tracker.failures() == []
    left = {path.name for path in cut.iterdir() if not path.name.startswith((".", "mlflow.db"))}
    assert left == {*expected, "mlartifacts", "report"}
    assert not list(cut.glob(".*.tmp")), "nothing half-written stays"
    assert not list((cut / ".work").iterdir())


def _forget(out: Path) -> None:
    """Take away some finished runs, so that there is something left to kill."""
    import shutil

    for path in sorted(out.glob("*/run.json"))[::2]:
        shutil.rmtree(path.parent)


def _children(pid: int) -> list[int]:
    """Workers; not Python's own resource tracker, which prints a traceback of its own when it is started again."""
    with contextlib.suppress(OSError):
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [child for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]
    return []


def _alive(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True
