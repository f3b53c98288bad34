"""Killed at random moments, an extraction ends with the bytes of one that nobody disturbed.

HARNESS_SCALE=1 kills twenty times, which takes some minutes.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.video.extract import Report
from tests.video.films import film

SCALE = bool(os.environ.get("HARNESS_SCALE"))
KILLS, VIDEOS, FRAMES = 20 if SCALE else 2, 30 if SCALE else 10, 20


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file of a directory but the lock, hidden ones too."""
    found = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "harness", "extract", str(folder), "--to", str(out), *more]


def at_work(out: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a process has the lock of its directory, or has ended."""
    while process.poll() is None and not _locked(out / ".lock"):
        time.sleep(0.01)


def _locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


@pytest.mark.slow
def test_killed_at_random(extracted: Callable[..., Report], tmp_path: Path) -> None:
    rng, folder, whole, cut = random.Random(0), tmp_path / "videos", tmp_path / "whole", tmp_path / "cut"
    folder.mkdir()
    for number in range(VIDEOS):
        film(folder / f"v{number}.mp4", FRAMES, seed=number)
    began = time.monotonic()
    extracted(whole, folder, protocol="vadclip")
    seconds = time.monotonic() - began
    line = command(folder, cut, "--jobs", "2")
    killed, half_way = 0, 0
    while killed < KILLS:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        before = len(list(cut.glob("videos/*.json")))
        at_work(cut, process)
        time.sleep(rng.uniform(0, seconds / 2))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        stderr = process.communicate(timeout=120)[1]
        assert "Traceback" not in stderr, stderr
        after = len(list(cut.glob("videos/*.json")))
        assert after >= before
        half_way += 0 < after < VIDEOS
        if after == VIDEOS:  # nothing is left to kill in
            for path in rng.sample(sorted(cut.glob("videos/*.json")), 2 * VIDEOS // 3):
                path.unlink()
    assert half_way, "some kill came in the middle"
    extracted(cut, folder, protocol="vadclip")
    assert files_of(cut) == files_of(whole)
    assert len(files_of(whole)) == 2 * VIDEOS + 2
