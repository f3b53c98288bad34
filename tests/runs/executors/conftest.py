"""Faulty and hostile methods, installed as a third party's package in this process and in those that it starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import registry
from harness.data.bank import Bank
from harness.identity import code as code_identity

ROOT = Path(__file__).resolve().parents[3]
Document = dict


def install(place: Path) -> None:
    """Put the two methods and their entry points where Python finds them once `place` is on its path."""
    info = place / "faulty_method-1.dist-info"
    info.mkdir(parents=True)
    for name in ("faulty_method.py", "hostile_method.py"):
        shutil.copy(Path(__file__).with_name(name), place)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-method\nVersion: 1\n")
    entries = "faulty = faulty_method:Faulty\nhostile = hostile_method:Hostile\n"
    (info / "entry_points.txt").write_text(f"[harness.methods]\n{entries}")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of the installed plugin, on the path of this process and of its children."""
    place = tmp_path / "plugin"
    install(place)
    monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{ROOT}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # runs planned in this process are those that its children plan
    monkeypatch.syspath_prepend(str(place))
    registry._entries.cache_clear()
    registry.method_class.cache_clear()
    code_identity._hash_of.cache_clear()
    yield place
    torch.set_num_threads(threads)
    for name in ("faulty_method", "hostile_method"):
        sys.modules.pop(name, None)
    registry._entries.cache_clear()
    registry.method_class.cache_clear()
    code_identity._hash_of.cache_clear()


@pytest.fixture
def command(plugin: Path, demo: Bank, empty_store: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `harness run` in a process of its own, at the head of a group of its own."""

    def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
        if not (out / "mlflow.db").exists():
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_store, out / "mlflow.db")
        line = [sys.executable, "-m", "harness", "run", "--out", str(out), "--json", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # A suite that a shell runs in the background ignores Ctrl-C, and its children would as well.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(line, text=True, cwd=ROOT, start_new_session=True, **pipes)
        finally:
            signal.signal(signal.SIGINT, before)

    return start


@pytest.fixture
def run(plugin: Path, demo: Bank, harness: Callable[..., tuple[int, str, str]]) -> Callable[..., Any]:
    """Run `harness run` in this process, with workers: exit code, JSON document, standard error."""

    def call(out: Path, *arguments: str) -> tuple[int, Document, str]:
        executor = () if "--executor" in arguments else ("--executor", "local")
        code, stdout, stderr = harness("run", "--out", str(out), "--json", *executor, *arguments)
        return code, json.loads(stdout) if stdout else {}, stderr

    return call
