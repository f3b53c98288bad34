"""Statistics on several processes: what becomes of the command when one of them is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Stopped meanwhile, so that the pool is certain to be about to end when one of its processes is killed.
SCRIPT = """
import contextlib, multiprocessing, os, signal, sys, time
from harness.report import parallel
parallel._cores = lambda: 2
later = parallel.begun(abs, range(-60, 0))
assert parallel.each(abs, range(-99, 0)) == list(range(99, 0, -1))
assert later() == list(range(60, 0, -1)) == parallel.begun(abs, range(-60, 0))()
children = sorted(multiprocessing.active_children(), key=lambda child: child.pid)
for child in children:
    os.kill(child.pid, signal.SIGSTOP)
parallel._pool().shutdown(wait=False)
time.sleep(1)
os.kill(children[int(sys.argv[1])].pid, signal.SIGKILL)
for child in children:
    with contextlib.suppress(ProcessLookupError):  # it may be gone already
        os.kill(child.pid, signal.SIGCONT)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="stops processes by signals")
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_at_the_end_holds_up_nothing(killed: int) -> None:
    """Of two that wait for work one holds the lock of their queue."""
    subprocess.run([sys.executable, "-c", SCRIPT, str(killed)], cwd=ROOT, timeout=60, check=True)
