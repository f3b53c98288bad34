"""What belongs to the process, not to a method: its global state and its memory."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator

from harness.io.heap import give_back
from harness.plugin.process_state import numpy_generator


@contextmanager
def watched(changes: list[str], where: str, may_draw: bool = False) -> Iterator[None]:
    """Note in `changes`, and undo, what is changed of the global state; `may_draw` allows torch's generator."""
    before = {name: read() for name, (read, _) in _GLOBAL.items()}
    seed = torch.initial_seed()
    try:
        yield
    finally:
        if torch.initial_seed() != seed:
            changes.append(f"{where} seeds torch's global generator")
        for name, (read, write) in _GLOBAL.items():
            if read() == before[name] or (may_draw and name == _TORCH):
                continue
            write(before[name])
            changes.append(f"{where} changes {name}")


def _set_numpy_state(state: tuple[list[int], int]) -> None:
    key = np.array(state[0], dtype=np.uint32)
    get_bit_generator().state = {"bit_generator": "MT19937", "state": {"key": key, "pos": state[1]}}


def _set_default_device(kind: str) -> None:
    torch.set_default_device(None if kind == "cpu" else kind)


_TORCH = "the state of torch's global generator"
# What belongs to the process: how it is read, as values that compare, and how it is put back.
_GLOBAL: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    _TORCH: (
        lambda: torch.get_rng_state().tolist(),
        lambda state: torch.set_rng_state(torch.tensor(state, dtype=torch.uint8)),
    ),
    "the state of NumPy's global generator": (numpy_generator, _set_numpy_state),
    "the state of Python's random": (random.getstate, random.setstate),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (lambda: torch.get_default_device().type, _set_default_device),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's deterministic mode": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "torch's matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
}


@contextmanager
def peak_growth() -> Iterator[Callable[[], int | None]]:
    """Yield what tells by how many bytes the process has grown at most since then; None where no /proc tells."""
    gc.collect()
    give_back()  # memory that is free but kept would not count a second time
    before = _resident()
    peak = before
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: peak - before if before else None
    finally:
        done.set()
        watcher.join()


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
