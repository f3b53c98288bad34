"""The one training loop. It knows features and video-level labels; evaluation is the selector's business."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.plugin import contract
from harness.plugin.method import Method, TrainingVideo
from harness.training.averaging import Average
from harness.training.resume import EpochRecord, restore, save
from harness.training.sampling import Batches, ahead, moved
from harness.training.seeds import derive
from harness.training.selection import Selector
from harness.training.steps import backward, end_epoch, refuse, update
from harness.training.watch import Watch

# Epochs of a large model may be shorter than the writing of its state: save when this many times as long has passed.
SAVE_SHARE = 100


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
    watch = Watch(schedules, device)
    average = Average(method.config.average_last, total)
    records: list[EpochRecord] = []
    saved, save_seconds = time.perf_counter(), 0.0
    if checkpoint is not None and checkpoint.exists():
        records = restore(checkpoint, method, schedules, selector, average)
    with torch.random.fork_rng():
        for epoch in range(len(records), plan.epochs):
            # Seeded anew each epoch, so that a resumed training draws what the uninterrupted one draws.
            torch.manual_seed(derive(batches.seed, batches.dataset, "dropout", epoch))
            sums: dict[str, float] = {}
            seconds, start = 0.0, time.perf_counter()
            for step, batch in enumerate(ahead(batches.epoch(epoch), device), start=1):
                overall = epoch * plan.steps_per_epoch + step
                backward(method, schedules, moved(batch, device), overall, watch)
                update(schedules, min(overall / (method.config.warmup_steps + 1), 1.0), watch.stopped)
                looked_at = selector.due(epoch, step, plan.steps_per_epoch, total)
                if watch.due or looked_at or step == plan.steps_per_epoch:
                    for taken in watch.read():
                        if not taken.finite:
                            first = batches.batch(epoch, taken.number - epoch * plan.steps_per_epoch - 1)
                            raise refuse(method, moved(first, device), taken)
                        for name, value in taken.terms.items():
                            sums[name] = sums.get(name, 0.0) + value
                if step == plan.steps_per_epoch:  # what a schedule does at an epoch's end belongs to the epoch
                    rates = [group["lr"] for schedule in schedules for group in schedule.optimizer.param_groups[:1]]
                    end_epoch(schedules)
                seconds += time.perf_counter() - start
                average.after_step(method, overall)
                selector.after_step(method, epoch, step, plan.steps_per_epoch, total, average.shown)
                progress(overall, total)
                start = time.perf_counter()
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
            selector.after_epoch(method)
            if checkpoint is not None and time.perf_counter() - saved >= SAVE_SHARE * save_seconds:
                start = time.perf_counter()
                save(checkpoint, method, schedules, selector, average, records)
                saved = time.perf_counter()
                save_seconds = saved - start
    average.put(method)
    return records


def training_videos(split: Split, items: NDArray[np.int64]) -> Iterator[TrainingVideo]:
    """Yield these training items at full length, one at a time."""
    for index in items.tolist():
        yield TrainingVideo(torch.from_numpy(split.item_features(index)), torch.from_numpy(split.labels[index]))
