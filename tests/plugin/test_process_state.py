"""What a look at a process's state sees."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import harness.methods.deepmil
from harness.metrics import frame
from harness.plugin.process_state import ProcessState

Change = Callable[[pytest.MonkeyPatch, Path], "Iterator[None] | None"]


def _set(owner: object, name: str) -> Change:
    return lambda patch, place: patch.setattr(owner, name, lambda *args, **kwargs: None)


def _call(change: Callable[[], object], back: Callable[[], object]) -> Change:
    def changed(patch: pytest.MonkeyPatch, place: Path) -> Iterator[None]:
        change()
        yield
        back()

    return changed


def _hooked(patch: pytest.MonkeyPatch, place: Path) -> Iterator[None]:
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *args: None)
    yield
    handle.remove()


def _file(patch: pytest.MonkeyPatch, place: Path) -> Iterator[None]:
    with (place / "open").open("w"):
        yield


def _child(patch: pytest.MonkeyPatch, place: Path) -> Iterator[None]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield
        process.kill()


def _thread(patch: pytest.MonkeyPatch, place: Path) -> Iterator[None]:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="a method's own")
    thread.start()
    yield
    event.set()
    thread.join()


CHANGES: dict[str, Change] = {
    "torch.sigmoid": _set(torch, "sigmoid"),
    "torch.Tensor.sigmoid": _set(torch.Tensor, "sigmoid"),
    "torch.nn.functional.relu": _set(torch.nn.functional, "relu"),
    "torch.nn.modules.linear.Linear.forward": _set(torch.nn.Linear, "forward"),
    "torch.optim.adam.Adam.step": _set(torch.optim.Adam, "step"),
    "numpy.mean": _set(np, "mean"),
    "random.random": _set(random, "random"),
    "harness.metrics.frame.roc_auc": _set(frame, "roc_auc"),
    "harness.methods.deepmil.DeepMIL.predict": _set(harness.methods.deepmil.DeepMIL, "predict"),
    "builtins.sorted": lambda patch, place: patch.setitem(__builtins__, "sorted", list),
    "torch's generator": lambda patch, place: torch.rand(1) and None,
    "NumPy's generator": lambda patch, place: np.random.random() and None,  # noqa: NPY002
    "Python's generator": lambda patch, place: random.random() and None,
    "torch's default dtype": _call(
        lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32)
    ),
    "torch's default device": _call(lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
    "torch's grad mode": _call(lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
    "torch's backends": _call(
        lambda: torch.autograd.set_detect_anomaly(True), lambda: torch.autograd.set_detect_anomaly(False)
    ),
    "hooks on all modules": _hooked,
    "NumPy's error handling": _call(lambda: np.seterr(all="ignore"), lambda: np.seterr(all="warn", under="ignore")),
    "the current directory": lambda patch, place: patch.chdir(place),
    "the environment": lambda patch, place: patch.setenv("SOMETHING", "else"),
    "sys.path": lambda patch, place: patch.syspath_prepend(str(place)),
    "signal handlers": _call(
        lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN), lambda: signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    ),
    "threads": _thread,
    "child processes": _child,
    "open files": _file,
    "the recursion limit": lambda patch, place: patch.setattr(
        sys, "setrecursionlimit", sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_change_is_seen(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit, directory = sys.getrecursionlimit(), os.getcwd()
    state = ProcessState()
    assert state.changes() == [], "nothing happened yet"
    with monkeypatch.context() as patch:
        change = CHANGES[what](patch, tmp_path)
        if change is not None:
            next(change)
        found = state.changes()
        if change is not None:
            with contextlib.suppress(StopIteration):
                next(change)
    sys.setrecursionlimit(limit)
    os.chdir(directory)
    assert what in found
    # Some changes are several: a hook of torch's own, or the file of a child's pipe.
    assert len(found) <= 3, found


def test_what_is_merely_loaded_is_no_change() -> None:
    state = ProcessState()
    import wave

    import torch.nn.utils.prune

    assert wave
    assert torch.nn.utils.prune
    assert state.changes() == []


def test_what_torch_wraps_when_it_is_first_used_is_no_change() -> None:
    state = ProcessState()
    made = type("Fresh", (torch.optim.SGD,), {})
    assert made([torch.nn.Parameter(torch.zeros(1))])
    torch.optim.Adagrad([torch.nn.Parameter(torch.zeros(1))])
    assert hasattr(torch.optim.Adagrad.step, "hooked")
    assert state.changes() == []


def test_a_wrapper_of_others_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ProcessState()
    monkeypatch.setattr(torch, "relu", functools.wraps(torch.relu)(lambda *args: 0))
    assert state.changes() == ["torch.relu"]
