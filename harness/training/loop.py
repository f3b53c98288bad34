"""The one training loop. It knows features and video-level labels; evaluation is the selector's business."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.errors import UserError, one_line
from harness.io.atomic import replacing, unwritable
from harness.plugin import contract
from harness.plugin.method import Batch, Method, Schedule, TrainingVideo
from harness.training.averaging import Average
from harness.training.sampling import Batches, ahead
from harness.training.seeds import derive
from harness.training.selection import Selector
from harness.training.steps import backward, end_epoch, update

EpochRecord = dict[str, Any]

# Epochs of a large model may be shorter than the writing of its state: save when this many times as long has passed.
SAVE_SHARE = 100
# Bytes of the SHA-256 that ends a file to resume from: what was damaged must not go on as if it were trained.
_SEAL = 32
_LOG = logging.getLogger(__name__)


def train(
    method: Method,
    batches: Batches,
    selector: Selector,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[EpochRecord]:
    """Train a method by gradient; it ends with the weights of the last step, or their mean over the last steps.

    After the first epoch, and then as often as costs at most a hundredth of the time, the whole state goes to
    `checkpoint` at an epoch's end. If that file exists, training continues from it, and
    gives the bits of the uninterrupted training on the same machine and number of threads. A damaged one is put aside
    with a warning, and training starts anew.

    Returns:
        One record per epoch: epoch and step (from 1), mean loss and terms, learning rates, seconds without looks.

    Raises:
        Diverged: a loss term or a gradient is NaN or infinite.
        BrokenMethod: its schedules or its loss terms are of a wrong type.
        UserError: `checkpoint` is whole, but of another method; it is put aside.
        Unwritable: a damaged `checkpoint` cannot be put aside.
    """
    plan = batches.plan
    total = plan.epochs * plan.steps_per_epoch
    method.to(device)
    method.train()
    schedules = contract.schedules(method, plan)
    average = Average(method.config.average_last, total)
    records: list[EpochRecord] = []
    saved, save_seconds = time.perf_counter(), 0.0
    if checkpoint is not None and checkpoint.exists():
        records = _restore(checkpoint, method, schedules, selector, average)
    with torch.random.fork_rng():
        for epoch in range(len(records), plan.epochs):
            # Seeded anew each epoch, so that a resumed training draws what the uninterrupted one draws.
            torch.manual_seed(derive(batches.seed, batches.dataset, "dropout", epoch))
            sums: dict[str, float] = {}
            seconds, start = 0.0, time.perf_counter()
            for step, batch in enumerate(ahead(batches.epoch(epoch)), start=1):
                overall = epoch * plan.steps_per_epoch + step
                terms = backward(method, schedules, _to(batch, device), overall)
                update(schedules, warmth=min(overall / (method.config.warmup_steps + 1), 1.0))
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
                seconds += time.perf_counter() - start
                average.after_step(method, overall)
                selector.after_step(method, epoch, step, plan.steps_per_epoch, total, average.shown)
                progress(overall, total)
                start = time.perf_counter()
            rates = [group["lr"] for schedule in schedules for group in schedule.optimizer.param_groups[:1]]
            means = {name: value / plan.steps_per_epoch for name, value in sums.items()}
            records.append(
                {
                    "epoch": epoch + 1,
                    "step": (epoch + 1) * plan.steps_per_epoch,
                    "loss": sum(means.values()),
                    "terms": means,
                    "lr": [float(rate) for rate in rates],
                    "seconds": seconds,
                }
            )
            end_epoch(schedules)
            selector.after_epoch(method)
            if checkpoint is not None and time.perf_counter() - saved >= SAVE_SHARE * save_seconds:
                start = time.perf_counter()
                _save(checkpoint, method, schedules, selector, average, records)
                saved = time.perf_counter()
                save_seconds = saved - start
    average.put(method)
    return records


def training_videos(split: Split, items: NDArray[np.int64]) -> Iterator[TrainingVideo]:
    """Yield these training items at full length, one at a time."""
    for index in items.tolist():
        yield TrainingVideo(torch.from_numpy(split.item_features(index)), torch.from_numpy(split.labels[index]))


def _to(batch: Batch, device: str) -> Batch:
    moved = {name: getattr(batch, name).to(device) for name in ("features", "lengths", "labels")}
    return dataclasses.replace(batch, **moved)


def _save(
    path: Path,
    method: Method,
    schedules: Sequence[Schedule],
    selector: Selector,
    average: Average,
    records: list[EpochRecord],
) -> None:
    state = {
        "method": method.saved_state(),
        "optimizers": [schedule.optimizer.state_dict() for schedule in schedules],
        "schedulers": [s.scheduler.state_dict() if s.scheduler else {} for s in schedules],
        "selector": selector.state(),
        "average": average.state(),
        "records": json.dumps(records),
    }
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content.getbuffer())
        file.write(hashlib.sha256(content.getbuffer()).digest())


def _restore(
    path: Path, method: Method, schedules: Sequence[Schedule], selector: Selector, average: Average
) -> list[EpochRecord]:
    try:
        content = memoryview(path.read_bytes())
        body, seal = content[:-_SEAL], content[-_SEAL:]
        if hashlib.sha256(body).digest() != seal:
            raise ValueError("its hash is not that of its content")
        state = torch.load(io.BytesIO(body), weights_only=True, map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file raises, nothing was taken from it
        _LOG.warning("%s: damaged (%s), put aside as %s; training starts anew", path, _reason(error), _aside(path).name)
        return []
    try:
        method.load_saved_state(state["method"])
        for schedule, optimizer, scheduler in zip(schedules, state["optimizers"], state["schedulers"], strict=True):
            schedule.optimizer.load_state_dict(optimizer)
            if schedule.scheduler is not None:
                schedule.scheduler.load_state_dict(scheduler)
        selector.restore(state["selector"])
        average.restore(state["average"], method)
        records: list[EpochRecord] = json.loads(state["records"])
    except Exception as error:  # what it holds may be in use by now
        aside = _aside(path)
        raise UserError(
            f"{path}: not of this training ({_reason(error)}); it is now {aside.name}, the next attempt starts anew"
        ) from error
    return records


def _reason(error: Exception) -> str:
    return one_line(error) if not isinstance(error, ValueError) else str(error)


def _aside(path: Path) -> Path:
    """Move a file that cannot be used out of the way and return where it is."""
    aside = path.with_suffix(".damaged")
    try:
        path.replace(aside)
    except OSError as error:
        raise unwritable(path, error) from error
    return aside
