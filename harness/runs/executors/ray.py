"""Runs as Ray tasks, on this machine or on a cluster; the only module that knows Ray."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.data.bank import Bank, bank_path
from harness.data.cards import find_card, open_bank
from harness.errors import HarnessError, UserError
from harness.io.atomic import replacing_directory, unwritable
from harness.io.digests import digest
from harness.io.locks import alone
from harness.io.ray_cluster import connect
from harness.records.label_access import holds_truth
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.runs.computation import Judge, judge_by
from harness.runs.executors import Ended, Said, Tell, Unable
from harness.runs.executors.ending import ended
from harness.runs.executors.perform import Failure, broken, perform
from harness.runs.method_side import CHECKPOINT, COMPUTED, HISTORY, LOOK, PREDICTIONS, Computed
from harness.runs.order import Order
from harness.runs.provenance import provenance
from harness.runs.truth_side import Grounds

# How often a run is started again when its worker or its machine goes away.
RETRIES = 3

Files = dict[str, bytes]


class RayExecutor:
    """Every run is one task that asks for its threads and, on CUDA, for `gpus` GPUs; Ray decides where and when.

    A task answers with the files of its run, so machines need not share a disk. A machine without the data bank gets
    it once, without its ground truth, through Ray's object store. The result is the same as on this machine, up to the
    machine's arithmetic. Every task has a process of its own; what that process starts beside itself, and how much
    memory it takes, is Ray's business.
    """

    def __init__(self, tell: Tell, address: str | None, gpus: float = 0.0, timeout: float | None = None) -> None:
        """Join the cluster at `address`, or start one on this machine.

        Raises:
            UserError: Ray is not installed, or there is no such cluster.
        """
        # Ray prints what happens to its workers on standard output, which belongs to our results.
        self._aside = contextlib.redirect_stdout(sys.stderr)
        self._aside.__enter__()
        self._ray = connect(address)
        self._tell = tell
        self._gpus = gpus
        self._timeout = timeout
        self._running: dict[Any, tuple[Order, float]] = {}
        self._banks: dict[tuple[str, str], Any] = {}
        self._judges: dict[tuple[str, str], Any] = {}
        self._grounds = Grounds()
        # Some more than run at once, so that none waits for the next poll.
        self.slots = 2 * max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def submit(self, order: Order) -> None:
        """Queue an order; one whose bank or ground truth is not here any more has failed."""
        try:
            bank, judge = self._bank(order), self._judge(order)
        except HarnessError as error:
            self._tell(self._ended(order, broken(order, error)))
            return
        task = self._ray.remote(max_calls=1)(_task).options(
            num_cpus=order.spec.threads,
            num_gpus=self._gpus,
            max_retries=RETRIES,
            name=order.run,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(order.spec.threads)}},
        )
        self._running[task.remote(order.placed(), bank, judge)] = (order, time.monotonic())

    def poll(self, seconds: float) -> None:
        """Tell which tasks ended; a started task's log lies on its own machine until then."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        for task in ready:
            order, _ = self._running.pop(task)
            self._tell(self._answer(order, task))
        for task, (order, since) in list(self._running.items()):
            if self._timeout is not None and time.monotonic() - since > self._timeout:
                del self._running[task]
                self._ray.cancel(task, force=True)
                self._tell(self._failed(order, f"no end after {self._timeout:g} s (--timeout)"))

    def close(self) -> None:
        """Cancel what still runs and leave the cluster."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()
        self._aside.__exit__(None, None, None)

    def _answer(self, order: Order, task: Any) -> Ended | Unable:
        try:
            kind, text, files = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:300]
            return self._failed(order, f"its Ray task was lost, also when started again ({reason})")
        if kind != "computed":
            return self._failed(order, *json.loads(text))
        try:
            for name, content in files.items():
                path = order.workspace / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        except OSError as error:
            return Unable(str(unwritable(order.workspace, error)))
        return self._ended(order, Computed.model_validate_json(text))

    def _failed(self, order: Order, error: str, log: str = "") -> Ended | Unable:
        return self._ended(order, Failure(error, log))

    def _ended(self, order: Order, found: Computed | Failure) -> Ended | Unable:
        return ended(order, found, self._grounds, lambda line: self._tell(Said(line)))

    def _judge(self, order: Order) -> Any:
        """The actor that values predictions, for the rules that look at the test set; None for the others."""
        if order.spec.selection not in ("oracle", "paper"):
            return None
        key = (order.dataset, order.spec.features)
        if key not in self._judges:
            self._judges[key] = self._ray.remote(num_cpus=0)(_Judge).remote(self._grounds.of(order)[1].to_dict())
        return self._judges[key]

    def _bank(self, order: Order) -> Any:
        """The order's bank in the object store, None while this is the only machine; in a list, lest it be fetched."""
        if len(self._ray.nodes()) < 2:
            return None
        key = (order.dataset, order.spec.features)
        if key not in self._banks:
            bank = open_bank(find_card(order.dataset), order.spec.features)
            content = {path.name: path.read_bytes() for path in bank.path.iterdir() if _travels(path)}
            self._banks[key] = [self._ray.put(content)]
        return self._banks[key]


class _Judge:
    """Holds a ground truth in a process of its own, where no method runs."""

    def __init__(self, truth: dict[str, Any]) -> None:
        self._judge = judge_by(GroundTruth.from_dict(truth))

    def value(self, content: bytes) -> float:
        """Value of predictions, given as the bytes of their file."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / LOOK
            path.write_bytes(content)
            return self._judge(Predictions.load(path))


def _asking(judge: Any, order: Order) -> Judge:
    """Asks the actor for the value of predictions."""

    def value(predictions: Predictions) -> float:
        import ray

        if judge is None:
            raise HarnessError("only the selection rules oracle and paper ask for the value of test predictions")
        predictions.save(order.workspace / LOOK)
        return float(ray.get(judge.value.remote((order.workspace / LOOK).read_bytes())))

    return value


def _task(order: Order, bank: list[Any] | None, judge: Any) -> tuple[str, str, Files]:
    """What a Ray worker does: the run in a place of its own, where a second start finds what the first one left."""
    order = _placed(order, bank)
    place = Path(tempfile.gettempdir()) / "harness-ray" / digest(str(order.out), order.run)[:16]
    here = replace(order, out=place)
    with alone(_lock(place)):
        found = perform(here, _asking(judge, here), lambda done, total: None)
        if isinstance(found, Failure):
            return "failed", json.dumps([found.error, found.log]), {}
        names = [f"{COMPUTED}/{name}" for name in (PREDICTIONS, HISTORY, CHECKPOINT)] + ["log.txt"]
        files = {name: path.read_bytes() for name in names if (path := here.workspace / name).is_file()}
        shutil.rmtree(place, ignore_errors=True)
    found = found.model_copy(update={"provenance": provenance()})
    return "computed", found.model_dump_json(), files


def _travels(path: Path) -> bool:
    """Whether a file of a bank goes to other machines: all but the ground truth."""
    return path.is_file() and not holds_truth(path.name)


def _placed(order: Order, bank: list[Any] | None) -> Order:
    """The order with a card and a bank that are on this machine."""
    try:
        open_bank(find_card(order.dataset), order.spec.features)
        return order
    except UserError:
        if bank is None:
            raise
    import ray

    name = order.spec.dataset.partition("@")[0]
    target = bank_path(name, order.spec.features)
    with alone(_lock(target)):
        if not (target / "bank.json").exists():
            with replacing_directory(target) as directory:
                for file, content in ray.get(bank[0]).items():
                    (directory / file).write_bytes(content)
    if Bank(target).content_hash != order.spec.feature_hash and "@" not in order.spec.dataset:
        raise HarnessError(f"{target}: another import of {name} lies there; remove it")
    own = order.dataset.endswith((".yaml", ".yml")) and not Path(order.dataset).exists()
    return replace(order, dataset=str(target / "card.yaml")) if own else order


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
