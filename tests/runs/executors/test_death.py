"""How workers end, and what their parent says of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.options import memory_size
from harness.io.interrupts import without_interrupts
from harness.runs.executors.death import cause, kills
from harness.runs.executors.memory import held, stopped, tree

Command = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., tuple[int, dict, str]]


def test_a_stopped_worker_is_named_and_ended(run: Run, tmp_path: Path) -> None:
    arguments = ("--methods", "hostile", "--sweep", "hostile.deed=stop,babble", "--timeout", "12", "--jobs", "2")
    code, document, stderr = run(tmp_path, *arguments)
    assert code == 1
    assert {each["error"] for each in document["runs"]} == {"no end after 12 s (--timeout); its process was killed"}
    assert stderr.count("was stopped by a signal; it goes on after kill -CONT, --timeout ends it") == 1


def test_a_stopped_worker_goes_on(command: Command, tmp_path: Path) -> None:
    process = command(tmp_path, "--methods", "hostile", "--set", "hostile.deed=stop")
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "was stopped by a signal; it goes on after kill -CONT, no --timeout ends it" in line:
            os.kill(int(line.split("its process ")[1].split()[0]), signal.SIGCONT)
            break
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, [*said, stderr]
    assert json.loads(stdout)["runs"][0]["status"] == "ok"


def test_ctrl_c_twice(command: Command, tmp_path: Path) -> None:
    """At any moment, also while workers start: no traceback of anybody."""
    for seconds in (0.0, 0.7, 1.5):
        process = command(tmp_path, "--methods", "faulty", "--set", "faulty.pause=0.3", "--jobs", "2", "--seeds", "0,1")
        while not list(tmp_path.glob(".claims/faulty*")) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(seconds)
        for _ in range(2):
            # To the whole group, as a terminal does.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        stdout, stderr = process.communicate(timeout=60)
        assert "Traceback" not in stderr
        assert stdout == ""
        assert process.returncode in (130, -signal.SIGINT)
        assert stderr.count("interrupted\n") <= 1


def test_interrupts_are_held_back_whichever_thread_takes_them() -> None:
    done, inside = threading.Event(), []
    other = threading.Thread(target=done.wait)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    other.start()

    def interrupted() -> None:
        with without_interrupts():
            signal.pthread_kill(other.ident or 0, signal.SIGINT)
            time.sleep(0.2)
            inside.append("went on")

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        done.set()
        other.join()
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert inside == ["went on"]


def test_a_path_that_is_not_utf_8(tmp_path: Path, demo: object, command: Command) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff"))
    process = command(odd, "--methods", "linear-probe")
    stdout, stderr = process.communicate(timeout=100)
    assert (process.returncode, stdout, len(stderr.splitlines())) == (2, "", 1)
    assert "its path is not UTF-8; choose another directory" in stderr


@pytest.mark.parametrize(
    ("code", "before", "after", "words"),
    [
        (3, 0, 0, "ended with exit code 3"),
        (-11, 0, 0, "killed by SIGSEGV"),
        (-40, 0, 0, "killed by signal 40"),
        (-9, 2, 2, "killed by SIGKILL from outside"),
        (-9, 2, 3, "killed by SIGKILL: out of memory, by the system's record"),
        (-9, None, None, "killed by SIGKILL from outside, or for lack of memory, of which no record is kept here"),
    ],
)
def test_cause(code: int, before: int | None, after: int | None, words: str) -> None:
    assert cause(code, before, after) == f"its process was {words}".replace("was ended", "ended")


def test_records_of_lack_of_memory(tmp_path: Path) -> None:
    own, groups, machine = tmp_path / "own", tmp_path / "groups", tmp_path / "vmstat"
    missing = tmp_path / "none"
    machine.write_text("nr_free_pages 7\noom_kill 41\n")
    assert kills(missing, groups, missing) is None
    assert kills(missing, groups, machine) == 41
    own.write_text("0::/user/app\n")
    assert kills(own, groups, machine) == 41
    (groups / "user" / "app").mkdir(parents=True)
    (groups / "user" / "app" / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert kills(own, groups, machine) == 2
    own.write_text("9:name=systemd:/\n4:memory,cpu:/box\n0::/\n")
    (groups / "memory" / "box").mkdir(parents=True)
    (groups / "memory" / "box" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert kills(own, groups, machine) == 5


def test_memory_of_a_tree_of_processes() -> None:
    hold = "import time, subprocess, sys; held = bytearray(100_000_000); print(1, flush=True); time.sleep(60)"
    start = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {hold!r}]); time.sleep(60)"
    import sys

    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.read(1)
            assert len(tree(process.pid)) == 2
            assert 100_000_000 < held(process.pid) < 200_000_000
            assert not stopped(process.pid)
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            assert stopped(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_sizes() -> None:
    from harness.errors import UserError

    assert memory_size("--memory-limit", None) is None
    assert memory_size("--memory-limit", "4GB") == 4_000_000_000
    assert memory_size("--memory-limit", "1.5GiB") == 3 * 2**29
    for text in ("4", "GB", "-1GB", "0GB", "4 gigabytes", ""):
        with pytest.raises(UserError, match=r"--memory-limit .*: expected a size such as 500MB, 4GB or 3\.5GiB"):
            memory_size("--memory-limit", text)


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_who_cannot_watch_memory_says_so(
    harness: Callable[..., tuple[int, str, str]], demo: object, executor: str
) -> None:
    code, stdout, stderr = harness("run", "--methods", "random", "--memory-limit", "1GB", "--executor", executor)
    assert (code, stdout) == (2, "")
    assert f"--memory-limit with --executor {executor}: only the local executor watches it; use local" in stderr
