"""The first second of a command, while most of it is imported."""

from __future__ import annotations

import importlib.abc
import signal
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

from harness import __main__ as entry


class Interrupted(importlib.abc.MetaPathFinder):
    """Raises what Ctrl-C raises when the command line is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "harness.cli.app":
            raise KeyboardInterrupt


def test_ctrl_c_while_the_command_line_is_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.delitem(sys.modules, "harness.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["harness", "list", "methods"])
    try:
        with pytest.raises(SystemExit) as stop:
            entry.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_the_command_begins_there() -> None:
    (script,) = (entry for entry in entry_points(group="console_scripts") if entry.name == "harness")
    assert script.value == "harness.__main__:main"
