"""Runs as Ray tasks, on this machine or on a cluster; the only module that knows Ray."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.data.bank import Bank, bank_path
from harness.data.cards import find_card, open_bank
from harness.errors import HarnessError, Unwritable, UserError
from harness.executors import Ended, Tell
from harness.executors.perform import failed, perform
from harness.files import alone, digest, replacing_directory
from harness.order import Order
from harness.run_directory import write_run
from harness.spec import RunResult

# How often a run is started again when its worker or its machine goes away.
RETRIES = 3

Files = dict[str, bytes]


class RayExecutor:
    """Every run is one task that asks for its threads and, on CUDA, for `gpus` GPUs; Ray decides where and when.

    A task answers with the files of its run, so machines need not share a disk. A machine without the data bank gets
    it once, through Ray's object store. The result is the same as on this machine, up to the machine's arithmetic.
    """

    def __init__(self, tell: Tell, address: str | None, gpus: float = 0.0, timeout: float | None = None) -> None:
        """Join the cluster at `address`, or start one on this machine.

        Raises:
            UserError: Ray is not installed, or there is no such cluster.
        """
        # Ray prints what happens to its workers on standard output, which belongs to our results.
        self._aside = contextlib.redirect_stdout(sys.stderr)
        self._aside.__enter__()
        self._ray = _connect(address)
        self._tell = tell
        self._gpus = gpus
        self._timeout = timeout
        self._running: dict[Any, tuple[Order, float]] = {}
        self._banks: dict[tuple[str, str], Any] = {}
        # Some more than run at once, so that none waits for the next poll.
        self.slots = 2 * max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def submit(self, order: Order) -> None:
        """Queue an order."""
        task = self._ray.remote(_task).options(
            num_cpus=order.spec.threads,
            num_gpus=self._gpus,
            max_retries=RETRIES,
            name=order.run,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(order.spec.threads)}},
        )
        self._running[task.remote(order, self._bank(order))] = (order, time.monotonic())

    def poll(self, seconds: float) -> None:
        """Tell which tasks ended; a started task's log lies on its own machine until then."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        for task in ready:
            order, _ = self._running.pop(task)
            self._tell(Ended(order.run, self._answer(order, task)))
        for task, (order, since) in list(self._running.items()):
            if self._timeout is not None and time.monotonic() - since > self._timeout:
                del self._running[task]
                self._ray.cancel(task, force=True)
                self._tell(Ended(order.run, failed(order, f"no end after {self._timeout:g} s (--timeout)")))

    def close(self) -> None:
        """Cancel what still runs and leave the cluster."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()
        self._aside.__exit__(None, None, None)

    def _answer(self, order: Order, task: Any) -> RunResult:
        try:
            text, files = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:300]
            return failed(order, f"its Ray task was lost, also when started again ({reason})")
        result = RunResult.model_validate_json(text)
        if result.status != "ok":
            return result
        result = result.model_copy(update={"directory": str(order.directory)})
        with replacing_directory(order.directory) as directory:
            for name, content in files.items():
                (directory / name).write_bytes(content)
            write_run(directory, result)
        return result

    def _bank(self, order: Order) -> Any:
        """The order's bank in the object store, None while this is the only machine; in a list, lest it be fetched."""
        if len(self._ray.nodes()) < 2:
            return None
        key = (order.dataset, order.spec.features)
        if key not in self._banks:
            bank = open_bank(find_card(order.dataset), order.spec.features)
            content = {path.name: path.read_bytes() for path in bank.path.iterdir() if path.is_file()}
            self._banks[key] = [self._ray.put(content)]
        return self._banks[key]


def _connect(address: str | None) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("--executor ray: Ray is not installed; pip install 'harness-wsvad[ray]'") from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    if address is None:
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"--ray-address {address}: cannot be reached ({reason})") from error
    return ray


def _task(order: Order, bank: list[Any] | None) -> tuple[str, Files]:
    """What a Ray worker does: the run in a place of its own, where a second start finds what the first one left."""
    order = _placed(order, bank)
    place = Path(tempfile.gettempdir()) / "harness-ray" / digest(str(order.out), order.run)[:16]
    here = replace(order, out=place)
    with alone(_lock(place)):
        try:
            result = perform(here, say=lambda text: None, tick=lambda done, total: None)
        except Unwritable as error:
            result = failed(here, str(error))
        files: Files = {}
        if result.status == "ok":
            files = {path.name: path.read_bytes() for path in here.directory.iterdir() if path.name != "run.json"}
    return result.model_dump_json(), files


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
