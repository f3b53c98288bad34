"""The example of a third-party package: installed from its folder, it is found, checked and run like our methods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.installed import installed

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "harness-topk-mil"
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """The command line in a process that has the package installed; returns its JSON."""
    work = tmp_path_factory.mktemp("plugin")
    site = installed(EXAMPLE, work)
    environment = {**os.environ, "PYTHONPATH": str(site), "HARNESS_HOME": str(work / "home")}

    def run(*arguments: str) -> Any:
        command = [sys.executable, "-m", "harness", *arguments, "--json"]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_it_is_listed(call: Call) -> None:
    rows = {row["name"]: row for row in call("list", "methods")["methods"]}
    assert rows["topk-mil"]["title"] == "Top-k MIL"
    assert "deepmil" in rows


def test_it_passes_the_shared_check(call: Call) -> None:
    found = call("check-method", "topk-mil")
    assert found["ok"]
    assert {row["status"] for row in found["checks"] if row["check"] != "device"} == {"ok"}
