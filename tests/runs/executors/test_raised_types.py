"""A run whose method raises fails alone, whatever type it raises: also one by which the harness ends a command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.data.bank import Bank
from harness.identity import code as code_identity
from harness.io import atomic as files
from harness.records.request import Matrix
from harness.runs.executors import perform
from harness.runs.matrix import plan

ROOT = Path(__file__).resolve().parents[3]
Call = Callable[..., tuple[int, str, str]]

SOURCE = """
import torch
from harness.errors import *
from harness.plugin import *
from harness.plugin.card import MethodCard

class Own(BaseException):
    pass

class Silent(Unwritable):
    def __str__(self):
        raise OSError(28, "no words")

class Config(MethodConfig):
    raised: str = ""
    where: str = "fit"

class Raising(Method):
    card = MethodCard(name="raising", title="Raising", family="floor", training="closed-form")
    Config = Config

    def at(self, where):
        if self.config.where == where and self.config.raised:
            raise eval(self.config.raised)

    def __init__(self, config, task):
        super().__init__(config, task)
        self.at("init")

    @classmethod
    def check(cls, task):
        if CHECK:
            raise eval(CHECK)

    @classmethod
    def configure(cls, family, preset, overrides):
        if CONFIGURE:
            raise eval(CONFIGURE)
        return super().configure(family, preset, overrides)

    def fit(self, videos):
        self.at("fit")

    def predict(self, features, lengths):
        self.at("predict")
        return Prediction(torch.full(features.shape[:2], 0.5))

    def saved_state(self):
        self.at("saved_state")
        return super().saved_state()
"""
RAISED = {
    "Unwritable('disk full')": "disk full",
    "UserError('wrong input')": "wrong input",
    "HarnessError('of the harness')": "of the harness",
    "Damaged('a file')": "a file",
    "Unsupported('not this one')": "not this one",
    "BrokenMethod('broken')": "broken",
    "Silent()": "Silent",
    "OSError(28, 'No space left on device')": "OSError: [Errno 28] No space left on device",
    "SystemExit(0)": "SystemExit: 0",
    "GeneratorExit()": "GeneratorExit: ",
    "Own('mine')": "Own: mine",
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo: Bank) -> Iterator[Callable[..., None]]:
    """Install the method as a third party's; it may raise when it is asked for its settings, or whether it fits."""
    place = tmp_path / "plugins"

    def forget() -> None:
        sys.modules.pop("raising_method", None)
        registry._entries.cache_clear()
        registry.method_class.cache_clear()
        code_identity._hash_of.cache_clear()

    def installed(check: str = "", configure: str = "") -> None:
        info = place / "raising_method-1.dist-info"
        info.mkdir(parents=True)
        (place / "raising_method.py").write_text(f"CHECK, CONFIGURE = {check!r}, {configure!r}\n{SOURCE}")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: raising-method\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[harness.methods]\nraising = raising_method:Raising\n")
        monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{ROOT}")
        monkeypatch.syspath_prepend(str(place))
        forget()

    yield installed
    forget()


def run(harness: Call, out: Path, *arguments: str, executor: str = "inline") -> tuple[int, list[dict[str, Any]], str]:
    options = ("--methods", "raising,random", "--out", str(out), "--json", "--executor", executor)
    code, stdout, stderr = harness("run", *options, *arguments)
    return code, json.loads(stdout)["runs"], stderr


@pytest.mark.parametrize("where", ["init", "fit", "predict", "saved_state"])
def test_every_type_is_a_failed_run_and_the_others_go_on(
    where: str, install: Callable[..., None], harness: Call, tmp_path: Path
) -> None:
    install()
    sweep = json.dumps(list(RAISED))
    matrix = tmp_path / "matrix.yaml"
    settings = f"set: {{raising: {{where: {where}}}}}\nsweep: {{raising: {{raised: {sweep}}}}}"
    matrix.write_text(f"methods: [raising, random]\n{settings}\n")
    out = tmp_path / "runs"
    code, stdout, stderr = harness("run", "-f", str(matrix), "--out", str(out), "--json", "--executor", "inline")
    runs = json.loads(stdout)["runs"]
    found = {each["spec"]["config"].get("raised"): each for each in runs}
    assert (code, found.pop(None)["status"]) == (1, "ok")
    assert {raised: each["status"] for raised, each in found.items()} == dict.fromkeys(RAISED, "failed")
    assert {raised: each["error"] for raised, each in found.items()} == RAISED
    assert "Traceback" not in stderr


def test_a_worker_is_not_believed_either(install: Callable[..., None], harness: Call, tmp_path: Path) -> None:
    install()
    code, runs, stderr = run(harness, tmp_path / "runs", "--set", "raising.raised=Unwritable('full')", executor="local")
    assert (code, [each["status"] for each in runs]) == (1, ["failed", "ok"])
    assert runs[0]["error"] == "full"
    assert "Traceback" not in stderr


def test_a_workspace_that_cannot_be_written_is_one_failed_run(
    install: Callable[..., None], harness: Call, tmp_path: Path
) -> None:
    install()
    out = tmp_path / "runs"
    (order,) = plan(Matrix(methods=("raising",)), out, threads=1).orders
    order.workspace.parent.mkdir(parents=True)
    order.workspace.write_text("a file in its place")
    code, runs, _ = run(harness, out)
    assert (code, [each["status"] for each in runs]) == (1, ["failed", "ok"])
    assert "cannot be written" in runs[0]["error"]


def test_a_store_that_takes_nothing_ends_the_command(
    install: Callable[..., None], harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    monkeypatch.setattr("harness.runs.method_side._check_space", lambda job, method: None)
    code, stdout, stderr = harness(
        *("run", "--methods", "raising,random", "--set", "raising.raised=ValueError('first')"),
        *("--out", str(tmp_path / "runs"), "--json"),
    )
    assert (code, stdout) == (2, "")
    assert (
        "cannot be written (No space left on device); free space or choose another directory" in stderr.splitlines()[-1]
    )


@pytest.mark.parametrize(
    "error", ["Unwritable('full')", "HarnessError('ours')", "RuntimeError('own')", "UserError('x')"]
)
@pytest.mark.parametrize("asked", ["check", "configure"])
def test_while_runs_are_planned_a_group_leaves_it_out(
    asked: str, error: str, install: Callable[..., None], tmp_path: Path
) -> None:
    install(**{asked: error})
    made = plan(Matrix(methods=("floor",)), tmp_path, threads=1)
    assert {order.spec.method for order in made.orders} >= {"random"}
    (line,) = [line for line in made.left_out if "raising" in line]
    assert line.startswith("left out: method raising: its code failed (")


def test_ctrl_c_still_ends_the_command(
    install: Callable[..., None], harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    install()
    monkeypatch.setattr(perform, "execute_job", interrupted)
    assert harness("run", "--methods", "raising", "--out", str(tmp_path / "runs"))[0] == 130
