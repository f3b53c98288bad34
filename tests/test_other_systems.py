"""Without what only POSIX systems have, every module can still be imported, and locks still exclude each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Libraries are imported first: they have their own ways on each system.
_CODE = """
import importlib, os, pkgutil, signal, sys

def import_all():
    import harness, harness.methods
    found = [each.name for each in pkgutil.walk_packages(harness.__path__, "harness.")]
    found += [each.name for each in pkgutil.walk_packages(harness.methods.__path__, "harness.methods.")]
    for name in found:
        if name != "harness.__main__":
            importlib.import_module(name)
    return found

assert len(import_all()) > 250
for name in [name for name in sys.modules if name.partition(".")[0] == "harness"]:
    del sys.modules[name]
for name in ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "getpgid", "getuid", "killpg", "posix_fallocate", "sched_getaffinity", "setsid",
             "statvfs", "sysconf", "uname", "waitid", "WNOHANG"):
    vars(os).pop(name, None)
for name in ("pthread_sigmask", "SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGUSR1", "SIGUSR2"):
    vars(signal).pop(name, None)
import_all()

from pathlib import Path
from harness.io.locks import alone
with alone(Path(sys.argv[1]) / "lock"):
    assert (Path(sys.argv[1]) / "lock.held").exists()

from harness.cli.app import main
for words in (["--help"], ["list", "methods"], ["list", "datasets"]):
    sys.argv = ["harness", *words]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, words
"""


def test_every_module_is_imported_without_posix(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CODE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dsanet" in done.stdout
    assert "ucf-crime" in done.stdout
