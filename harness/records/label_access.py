"""The ground truth is out of reach in a process while a method's code may run there.

Neither a bank nor a file of ground truth then gives it: `Bank.truth` and `GroundTruth.load` refuse, and so does
Python's own `open` for files of that name. That keeps honest code honest. It is no wall: code that reads the disk in
other ways (another program, the C library, another name for the file) is not held, and a method can always read what
its user can.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import HarnessError

_FILE = re.compile(r"truth(@.+)?\.json")
_state = {"depth": 0, "hooked": False}


@contextmanager
def withheld() -> Iterator[None]:
    """Refuse the ground truth meanwhile, in all threads of this process."""
    if not _state["hooked"]:
        sys.addaudithook(_look)
        _state["hooked"] = True
    _state["depth"] += 1
    try:
        yield
    finally:
        _state["depth"] -= 1


def check_reach() -> None:
    """Raise HarnessError while the ground truth is withheld from this process."""
    if _state["depth"]:
        raise HarnessError("the ground truth is withheld where a method runs; the command that started the run scores")


def holds_truth(name: str) -> bool:
    """Return whether files of this name hold ground truth."""
    return _FILE.fullmatch(name) is not None


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _state["depth"] or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    if holds_truth(os.path.basename(os.fsdecode(arguments[0]))):
        check_reach()
