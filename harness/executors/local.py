"""Runs in worker processes of this machine. A worker that dies, hangs or is killed takes one run with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from harness.executors import Ended, Moved, Said, Tell, Unable
from harness.executors.perform import failed
from harness.executors.worker import serve
from harness.order import Order
from harness.spec import RunResult

# What torch's own kernels may use of the processor; read once, when torch starts.
CAPABILITY = "ATEN_CPU_CAPABILITY"
# Libraries that count the cores by themselves.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Worker:
    slot: int
    process: SpawnProcess
    pipe: Connection
    settings: dict[str, str]
    order: Order | None = None
    since: float = 0.0


class LocalExecutor:
    """Up to `jobs` workers; each computes one order after another, and is replaced when it dies.

    With `timeout`, a run that takes more seconds is killed. With several GPUs, job i uses GPU i modulo their number.
    """

    def __init__(self, tell: Tell, jobs: int, timeout: float | None = None) -> None:
        self.slots = jobs
        self._tell = tell
        self._timeout = timeout
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def submit(self, order: Order) -> None:
        """Hand an order to an idle worker that was started with its settings, to a new one if none is."""
        idle = [worker for worker in self._workers if worker.order is None]
        fits = [worker for worker in idle if worker.settings == _settings(order, worker.slot)]
        if idle and not fits and len(self._workers) == self.slots:
            self._drop(idle[0])
        worker = fits[0] if fits else self._start(order)
        worker.order, worker.since = order, time.monotonic()
        try:
            worker.pipe.send(order)
        except OSError:  # it died while idle
            self._drop(worker)
            worker.order = None
            self.submit(order)

    def poll(self, seconds: float) -> None:
        """Tell what the workers sent, and what became of dead and late ones."""
        busy = [worker for worker in self._workers if worker.order is not None]
        ready = wait([worker.pipe for worker in busy], seconds)
        for worker in busy:
            if worker.pipe in ready:
                self._receive(worker)
            elif self._timeout is not None and time.monotonic() - worker.since > self._timeout:
                self._drop(worker)
                self._lost(worker, f"no end after {self._timeout:g} s (--timeout); its process was killed")

    def close(self) -> None:
        """Kill all workers; what they had not finished stays in its workspace."""
        for worker in list(self._workers):
            self._drop(worker)

    def _receive(self, worker: _Worker) -> None:
        order = worker.order
        assert order is not None
        try:
            kind, *values = worker.pipe.recv()
        except (EOFError, OSError):
            self._drop(worker)
            self._lost(worker, _ending(worker.process.exitcode))
            return
        if kind == "said":
            self._tell(Said(values[0]))
        elif kind == "moved":
            self._tell(Moved(order.run, *values))
        else:
            worker.order = None
            self._tell(
                Unable(values[0]) if kind == "unable" else Ended(order.run, RunResult.model_validate_json(values[0]))
            )

    def _lost(self, worker: _Worker, why: str) -> None:
        order, worker.order = worker.order, None
        assert order is not None
        self._tell(Ended(order.run, failed(order, why)))

    def _start(self, order: Order) -> _Worker:
        slot = min(set(range(self.slots)) - {worker.slot for worker in self._workers})
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs,), name=f"harness worker {slot}")
        settings = _settings(order, slot)
        with _environment(settings):
            process.start()
        theirs.close()
        worker = _Worker(slot, process, ours, settings)
        self._workers.append(worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.join(0.2)  # one that ended by itself keeps its own exit code
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _settings(order: Order, slot: int) -> dict[str, str]:
    settings = dict.fromkeys(_THREADS, str(order.spec.threads))
    if order.spec.capability:
        settings[CAPABILITY] = order.spec.capability
    if order.spec.device == "cuda":
        import torch

        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = shown.split(",") if shown else [str(index) for index in range(torch.cuda.device_count())]
        settings["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return settings


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """What a process that starts meanwhile inherits."""
    before: dict[str, Any] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", perhaps out of memory" if -code == signal.SIGKILL else ""
        return f"its process was killed by {name}{hint}"
    return f"its process ended with exit code {code}"
