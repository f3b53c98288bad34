"""Processes that ours start end with them, even where these are killed and can end nothing any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Found = TypeVar("Found")
ROOT = Path(__file__).resolve().parents[2]
# Takes longer than the test, with everything done by other processes.
POOL = """
import time
from harness.report import parallel
parallel._cores = lambda: 2
parallel.each(time.sleep, [60.0] * 99)
"""
BENCH = "from harness.cli.app import main; import sys; sys.argv[1:] = ['bench', '--methods', 'dsanet']; main()"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("code", "children"), [(POOL, 2), (BENCH, 1)], ids=["statistics", "bench"])
def test_children_of_a_killed_process_go_with_it(code: str, children: int, tmp_path: Path) -> None:
    environment = {**os.environ, "HARNESS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        started = _eventually(lambda: _busy(process.pid) if len(_busy(process.pid)) == children else None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    _eventually(lambda: not any(map(_alive, started)) or None)


def _eventually(look: Callable[[], Found | None]) -> Found:
    """What `look` finds, asked until it finds something."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError("still not so after a minute")


def _busy(pid: int) -> list[int]:
    """The children that work; Python's resource tracker is none."""
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if _alive(child) and b"resource_tracker" not in _command(child)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
