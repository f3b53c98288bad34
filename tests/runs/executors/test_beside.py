"""Two commands beside each other share the work."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., tuple[int, dict, str]]
MATRIX = ("--methods", "faulty,random", "--set", "faulty.pause=0.3")


@pytest.mark.slow
def test_no_run_is_computed_twice_and_a_dead_one_is_taken_over(command: Command, run: Run, tmp_path: Path) -> None:
    one = command(tmp_path, *MATRIX)
    claims = tmp_path / ".claims"
    deadline = time.monotonic() + 60
    while not list(claims.glob("faulty*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    two = command(tmp_path, *MATRIX)
    threading.Timer(1, one.kill).start()
    code, document, said = run(tmp_path, *MATRIX)  # a third one
    stdout, stderr = two.communicate(timeout=200)
    assert (code, two.returncode) == (0, 0), said + stderr
    documents = [document, json.loads(stdout)]
    one.communicate()
    computed = [each["id"] for document in documents for each in document["runs"] if each["status"] == "ok"]
    assert len(computed) == len(set(computed)), "no run twice"
    for document in documents:
        assert {each["status"] for each in document["runs"]} <= {"ok", "skipped"}
        assert all(each["metrics"] for each in document["runs"])
        assert len(document["leaderboard"][0]["rows"]) == 2
    assert "another command computes it" in said + stderr


def test_ctrl_c_says_how_to_go_on(command: Command, tmp_path: Path) -> None:
    arguments = ("--methods", "faulty", "--set", "faulty.pause=0.3", "--set", "faulty.epochs=20")
    process = command(tmp_path, *arguments)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".work/faulty*/resume.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "interrupted; the same command continues from its last epoch" in stderr
    assert "Traceback" not in stderr
    assert not list(tmp_path.glob(".claims/faulty*"))
    assert list(tmp_path.glob(".work/faulty*/resume.pt"))
