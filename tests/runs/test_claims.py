from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import Unwritable
from harness.io.locks import alone
from harness.runs.claims import Claims


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take("a")
        assert not two.take("a")
        assert two.take("b")
        one.release("a")
        assert two.take("a")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"], "all given back"


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from harness.runs.claims import Claims; "
    code += "c = Claims(Path(sys.argv[1])); "
    subprocess.run([sys.executable, "-c", code + "c.take('a')", str(tmp_path)], check=True)
    assert (tmp_path / "a").exists()
    with Claims(tmp_path) as claims:
        assert claims.take("a")


def _claimed_elsewhere(path: Path, ahead: float = 0) -> None:
    path.write_text(json.dumps({"host": "elsewhere", "pid": os.getpid(), "born": "1"}))
    then = time.time() + ahead
    os.utime(path, (then, then))


@pytest.mark.parametrize("ahead", [0, -86400, 86400], ids=["same clock", "a day behind", "a day ahead"])
def test_another_machine_counts_by_its_heartbeat(tmp_path: Path, ahead: float) -> None:
    _claimed_elsewhere(tmp_path / "a", ahead)
    with Claims(tmp_path, dead_after=0.3) as claims:
        for beat in range(8):  # longer than `dead_after` together
            assert not claims.take("a")
            time.sleep(0.1)
            os.utime(tmp_path / "a", (ahead + beat, ahead + beat))
        assert not claims.take("a")
        time.sleep(0.4)
        assert claims.take("a"), "no beat was seen for so long"


def test_what_was_taken_over_does_not_live_on_its_old_owners_heart(tmp_path: Path) -> None:
    with Claims(tmp_path, dead_after=0.3) as claims:
        claims.take("a")
        _claimed_elsewhere(tmp_path / "a", -1000)
        seen = (tmp_path / "a").stat().st_mtime_ns
        time.sleep(0.3)
        assert (tmp_path / "a").stat().st_mtime_ns == seen
    assert (tmp_path / "a").exists()


_HOLD = """
import sys, time
from pathlib import Path
from harness.runs.claims import Claims
with Claims(Path(sys.argv[1]), dead_after=2) as claims:
    print(claims.take("a"), flush=True)
    time.sleep(600)
"""


def _in_a_namespace(*line: str, options: tuple[str, ...] = ("--mount-proc",)) -> subprocess.Popen[str]:
    """A command in a pid namespace of its own, as in a container."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", *options]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a pid namespace (unshare --pid)")
    return subprocess.Popen([*unshare, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("options", [("--mount-proc",), ()], ids=["own /proc", "the host's /proc"])
def test_a_process_of_another_namespace_is_alive_while_its_heart_beats(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    holder = _in_a_namespace(sys.executable, "-c", _HOLD, str(tmp_path), options=options)
    assert holder.stdout
    assert holder.stdout.readline() == "True\n"
    with Claims(tmp_path, dead_after=2) as claims:
        deadline = time.monotonic() + 4  # twice what makes a silent one dead
        while time.monotonic() < deadline:
            assert not claims.take("a")
            time.sleep(0.1)
        asking = _in_a_namespace(sys.executable, "-c", _HOLD, str(tmp_path), options=options)
        assert asking.stdout
        assert asking.stdout.readline() == "False\n"
        asking.kill()
        asking.communicate()
        holder.kill()
        holder.communicate()
        assert not claims.take("a"), "nobody can see that a process of another namespace ended"
        deadline = time.monotonic() + 10
        while not claims.take("a"):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.slow
def test_two_commands_in_two_namespaces_compute_a_run_once(tmp_path: Path, demo: object) -> None:
    line = (sys.executable, "-m", "harness", "run", "--methods", "deepmil", "--seeds", "0,1", "--json")
    line += (
        "--set",
        "deepmil.epochs=2",
        "--set",
        "deepmil.steps_per_epoch=4",
        "--out",
        str(tmp_path / "runs"),
        "--no-report",
    )
    commands = [_in_a_namespace(*line) for _ in range(2)]
    documents = []
    for command in commands:
        stdout, stderr = command.communicate(timeout=300)
        assert command.returncode == 0, stderr
        documents.append(json.loads(stdout))
    ended = sorted((run["id"], run["status"]) for document in documents for run in document["runs"])
    assert [status for _, status in ended] == ["ok", "skipped"] * 2


def _no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_directory_without_locks_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take("a")
        assert not two.take("a")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_lock_file_of_a_dead_process_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", _no_locks)
    monkeypatch.setattr("harness.io.locks.DEAD_AFTER", 0.3)
    (tmp_path / "lock.held").touch()
    began = time.monotonic()
    with alone(tmp_path / "lock"):
        assert time.monotonic() - began > 0.3
        assert (tmp_path / "lock.held").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_lock_that_the_system_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(Unwritable, match="lock: cannot be written"), alone(tmp_path / "lock"):
        pass


def test_the_heart_beats(tmp_path: Path) -> None:
    with Claims(tmp_path, dead_after=0.3) as claims:
        claims.take("a")
        old = time.time() - 100
        os.utime(tmp_path / "a", (old, old))
        deadline = time.time() + 10
        while (tmp_path / "a").stat().st_mtime < old + 50 and time.time() < deadline:
            time.sleep(0.02)
        assert (tmp_path / "a").stat().st_mtime > old + 50


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 1}', "\x00"])
def test_a_damaged_claim_is_nobodys(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    with Claims(tmp_path) as claims:
        assert claims.take("a")


def _race(directory: str, barrier: object, won: object, locks: bool) -> None:
    if not locks:
        fcntl.flock = _no_locks
    with Claims(Path(directory)) as claims:
        for name in map(str, range(50)):
            barrier.wait()
            if claims.take(name):
                won.put(name)
        barrier.wait()  # nobody gives back before all have asked


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_a_race_has_one_winner(tmp_path: Path, locks: bool) -> None:
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(str(tmp_path), barrier, won, locks)) for _ in range(4)]
    for racer in racers:
        racer.start()
    names = sorted(won.get(timeout=60) for _ in range(50))
    for racer in racers:
        racer.join(timeout=60)
    assert names == sorted(map(str, range(50)))
    assert won.empty()
