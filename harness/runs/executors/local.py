"""Runs in worker processes of this machine. A worker that dies, hangs or is killed takes one run with it."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import wait

from harness.errors import HarnessError
from harness.io.interrupts import without_interrupts
from harness.paths import harness_home
from harness.records.predictions import Predictions
from harness.registry import is_ours
from harness.runs.executors import Moved, Said, Tell
from harness.runs.executors.ending import ended
from harness.runs.executors.handle import Message, Worker
from harness.runs.executors.memory import held, stopped
from harness.runs.executors.perform import Failure, lost, words
from harness.runs.method_side import LOOK, Computed
from harness.runs.order import Order
from harness.runs.truth_side import Grounds

# What torch's own kernels may use of the processor; read once, when torch starts.
CAPABILITY = "ATEN_CPU_CAPABILITY"
# Libraries that count the cores by themselves.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Seconds between two looks at the memory of workers that have a limit.
_OFTEN = 0.1


class LocalExecutor:
    """Up to `jobs` workers; each computes one order after another, and is replaced when that may have changed it.

    A worker goes on only after a run of one of our own methods that went through and left its process as it was.
    With `timeout`, a run that takes more seconds is killed; with `memory`, one that holds more bytes with all its
    processes. With several GPUs, job i uses GPU i modulo their number.
    """

    def __init__(self, tell: Tell, jobs: int, timeout: float | None = None, memory: int | None = None) -> None:
        self.slots = jobs
        self._tell = tell
        self._timeout = timeout
        self._memory = memory
        self._workers: list[Worker] = []
        self._grounds = Grounds()

    def submit(self, order: Order) -> None:
        """Hand an order to an idle worker that was started with its settings, to a new one if none is."""
        idle = [worker for worker in self._workers if worker.order is None]
        fits = [worker for worker in idle if worker.settings == _settings(order, worker.slot)]
        if idle and not fits and len(self._workers) == self.slots:
            self._drop(idle[0])
        worker = fits[0] if fits else self._start(order)
        if not worker.give(order):  # it died while idle
            self._drop(worker)
            self.submit(order)

    def poll(self, seconds: float) -> None:
        """Tell what the workers sent, and what became of dead, late and large ones."""
        busy = [worker for worker in self._workers if worker.order is not None]
        wait([sign for worker in busy for sign in worker.signs], seconds if self._memory is None else _OFTEN)
        for worker in busy:
            for message in worker.heard():
                if message is None:
                    self._lost(worker, self._drop(worker))
                else:
                    self._hear(worker, message)
                if worker.order is None:
                    break
            else:
                self._watch(worker)

    def close(self) -> None:
        """Kill all workers; what they had not finished stays in its workspace."""
        with without_interrupts():
            for worker in list(self._workers):
                self._drop(worker)

    def _hear(self, worker: Worker, message: Message) -> None:
        order = worker.order
        assert order is not None
        try:
            said = _understood(order, message)
        except (KeyError, TypeError, ValueError) as error:
            self._lost(worker, f"its process sent what is no message ({words(error)}); it was killed")
            return
        if isinstance(said, Moved):
            self._tell(said)
        elif said == "begin":
            worker.begin()
        elif said == "judge":
            worker.answer(*self._judged(order))
        elif isinstance(said, (Computed, Failure)):
            self._end(worker, said, keep=not message.get("changes", True) and is_ours(order.spec.method))

    def _end(self, worker: Worker, found: Computed | Failure, keep: bool) -> None:
        """Score and publish a run, or say that it failed."""
        order, worker.order = worker.order, None
        assert order is not None
        if not keep:
            self._drop(worker)  # before anything that it left is read
        self._tell(ended(order, found, self._grounds, lambda text: self._tell(Said(text))))

    def _judged(self, order: Order) -> tuple[float | None, str]:
        try:
            return self._grounds.judge(order)(Predictions.load(order.workspace / LOOK)), ""
        except HarnessError as error:
            return None, str(error)

    def _watch(self, worker: Worker) -> None:
        """End a run that takes too long or too much, and say once if it is stopped."""
        assert worker.order is not None
        if self._timeout is not None and time.monotonic() - worker.since > self._timeout:
            self._lost(worker, f"no end after {self._timeout:g} s (--timeout); its process was killed")
        elif self._memory is not None and (size := held(worker.pid)) > self._memory:
            limit = f"more than {self._memory / 1e9:g} GB (--memory-limit)"
            self._lost(worker, f"it held {size / 1e9:.2f} GB of memory, {limit}; its process was killed")
        elif (now := stopped(worker.pid)) != worker.stopped:
            worker.stopped = now
            if now:
                late = "--timeout ends it" if self._timeout is not None else "no --timeout ends it"
                line = f"its process {worker.pid} was stopped by a signal; it goes on after kill -CONT, {late}"
                self._tell(Said(f"{worker.order.run}: {line}"))

    def _lost(self, worker: Worker, why: str) -> None:
        assert worker.order is not None
        self._end(worker, lost(worker.order, why), keep=False)

    def _start(self, order: Order) -> Worker:
        slot = min(set(range(self.slots)) - {worker.slot for worker in self._workers})
        worker = Worker(slot, _settings(order, slot))
        self._workers.append(worker)
        return worker

    def _drop(self, worker: Worker) -> str:
        """End a worker; return why it ended if it did so by itself."""
        if worker in self._workers:
            self._workers.remove(worker)
            return worker.end()
        return ""


def _understood(order: Order, message: Message) -> Moved | Computed | Failure | str:
    """What a worker's message says; "begin" and "judge" say all in a word. Raises if it is no message."""
    kind = message["kind"]
    if kind in ("begin", "judge"):
        return str(kind)
    if kind == "moved":
        return Moved(order.run, int(message["done"]), int(message["total"]))
    if kind == "failed":
        return Failure(str(message["error"]), str(message["log"]))
    return Computed.model_validate(message["found"])


def _settings(order: Order, slot: int) -> dict[str, str]:
    settings = dict.fromkeys(_THREADS, str(order.spec.threads))
    # Absolute: a method may change its process's directory.
    settings["HARNESS_HOME"] = str(harness_home())
    if order.spec.capability:
        settings[CAPABILITY] = order.spec.capability
    if order.spec.device == "cuda":
        import torch

        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = shown.split(",") if shown else [str(index) for index in range(torch.cuda.device_count())]
        settings["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return settings
