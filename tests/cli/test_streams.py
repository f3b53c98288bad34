"""Commands in processes of their own, with streams, locales and environments as people have them."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.data.bank import Bank

ROOT = Path(__file__).resolve().parents[2]
# Python's own remedies switched off, the second by the first.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
HARNESS = f"{sys.executable} -m harness"


def shell(line: str, **environment: str) -> tuple[int, bytes, bytes]:
    """Run a line of bash: exit code, standard output, standard error."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=settings, capture_output=True, check=False, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("verb", "reader"),
    [
        ("list methods --json", "head -1"),
        ("list datasets", "true"),
        ("run --help", "true"),
        ("list nothing", "head -1"),
    ],
)
def test_a_reader_that_leaves_is_no_error(verb: str, reader: str) -> None:
    status = "echo ${PIPESTATUS[0]} >&2"
    code, _, stderr = shell(f"{HARNESS} {verb} | {reader}; {status}")
    lines = stderr.decode().splitlines()
    if verb == "list nothing":
        assert lines == ["error: harness list nothing: expected methods, datasets, protocols or runs", "2"], (
            "it ends as it would"
        )
    else:
        assert (code, lines) == (0, ["0"])


def test_a_reader_of_errors_that_leaves_is_no_error_either() -> None:
    code, _, stderr = shell(f"( {HARNESS} list nothing 2>&1; echo $? >&3 ) 3>&2 | true")
    assert (code, stderr) == (0, b"2\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("verb", ["list methods", "list methods --json", "--version"])
def test_a_full_disk_behind_standard_output_is_one_line(verb: str) -> None:
    code, _, stderr = shell(f"{HARNESS} {verb} > /dev/full")
    assert code == 2
    assert stderr == b"error: standard output: cannot be written (No space left on device)\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(closed: str, tmp_path: Path) -> None:
    # A file that is opened later must not take the place of what is closed.
    code, stdout, stderr = shell(f"{HARNESS} new-method mine --to {tmp_path} {closed}")
    assert (code, stderr) == (0, b"")
    assert (b"wrote" in stdout) == (">&-" not in closed.split())
    assert code == shell(f"{HARNESS} new-method mine --to {tmp_path / 'open'}")[0]
    package, other = tmp_path / "harness-mine", tmp_path / "open/harness-mine"
    files = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
    assert files
    assert all((package / name).read_bytes() == (other / name).read_bytes() for name in files)


@pytest.mark.parametrize("verb", ["list datasets", "list methods", "--help", "run --help", "list mädchen", "-ü"])
def test_a_locale_without_letters_gets_replaced_ones(verb: str) -> None:
    code, stdout, stderr = shell(f"{HARNESS} {verb}", **ASCII)
    assert b"Traceback" not in stderr
    assert code == (0 if "ä" not in verb and "ü" not in verb else 2)
    assert (stdout + stderr).isascii()


def test_a_run_and_its_report_in_a_locale_without_letters(demo: Bank, empty_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    out.mkdir()
    shutil.copy(empty_store, out / "mlflow.db")
    code, stdout, stderr = shell(f"{HARNESS} run --methods random --seeds 0,1 --out {out}", **ASCII)
    assert (code, b"Traceback" in stderr) == (0, False)
    assert (stdout + stderr).isascii()
    assert b"? 0." in stdout, "the sign between mean and deviation"
    assert "±" in (out / "report/leaderboard.md").read_text(encoding="utf-8")
    code, stdout, stderr = shell(f"{HARNESS} report --formats html,csv,tex,md --out {out}", **ASCII)
    assert (code, stderr) == (0, b"")
    assert "±" in (out / "report/index.html").read_text(encoding="utf-8")
    assert len(list(csv.reader(io.StringIO((out / "report/leaderboard.csv").read_text(encoding="utf-8"))))) == 2


@pytest.mark.parametrize(
    "environment",
    [
        *({"COLUMNS": "1"}, {"COLUMNS": "-5", "LINES": "x"}, {"TERM": "dumb"}, {"LC_ALL": "nonsense"}),
        *({"HOME": "/proc/nowhere"}, {"HOME": ""}, {"TERM": "xterm", "FORCE_COLOR": "1"}, {}),
    ],
    ids=lambda environment: " ".join(f"{key}={value}" for key, value in environment.items()) or "nothing",
)
def test_a_bare_environment_will_do(environment: dict[str, str], tmp_path: Path) -> None:
    settings = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, "-m", "harness", "list", "datasets"]
    done = subprocess.run(
        command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null/x", "~no-such-user/x", "{file}"])
def test_a_data_directory_that_cannot_be_is_one_line(home: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, stdout, stderr = shell(f"{HARNESS} data info demo", HARNESS_HOME=home.format(file=tmp_path / "file"))
    assert (code, stdout) == (2, b"")
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith(b"error: ")


SLOW = """
import sys, time
from harness.cli import listing
from harness.cli.app import main

def slow():
    print("started", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep({pause})

listing.methods = slow
sys.argv = ["harness", "list", "methods"]
main()
"""


@pytest.mark.parametrize(("pause", "times"), [(0, 1), (60, 2)])
def test_ctrl_c_is_one_line_and_exit_code_130_also_twice(pause: int, times: int) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = [sys.executable, "-c", SLOW.format(pause=pause)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "interrupted\n")
