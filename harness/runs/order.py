"""One run to do, in a form that another process or machine understands."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch

from harness.data.bank import Bank
from harness.data.cards import find_card, open_bank
from harness.errors import HarnessError
from harness.records.run_directory import open_run
from harness.records.spec import RunSpec
from harness.registry import method_class
from harness.runs.computation import settle, task_of
from harness.runs.method_side import CHECKPOINT, Job, spec_of
from harness.text.loading import load_text_tower
from harness.text.planned import PlannedTower
from harness.text.tower import TextTower

# Fields of a spec that say of what kind a run is.
_ASKED = ("capability", "nudge", "vocabulary", "trained_on", "source", "reading", "disturbance")


@dataclass(frozen=True)
class Order:
    """`dataset` is a card's name or the absolute path of its file, `text_tower` a directory, a hub id or None.

    With `fresh`, what an earlier attempt left is ignored; where it is `watched`, the machine is sampled meanwhile.
    `source` is the order of the run whose weights are tested again, None for an order to train.
    """

    spec: RunSpec
    dataset: str
    text_tower: str | None
    out: Path
    fresh: bool = False
    source: Order | None = None
    watched: bool = False

    @property
    def run(self) -> str:
        """The run's id."""
        return self.spec.run_id

    @property
    def directory(self) -> Path:
        """Where the finished run lies."""
        return self.out / self.run

    @property
    def workspace(self) -> Path:
        """What a run puts aside until it is finished."""
        return self.out / ".work" / self.run

    def placed(self) -> Order:
        """Return the order with absolute paths, which mean the same whatever a process makes its directory."""
        text = self.text_tower
        if text is not None and os.path.exists(text):
            text = os.path.abspath(text)
        dataset = os.path.abspath(self.dataset) if self.dataset.endswith((".yaml", ".yml")) else self.dataset
        source = self.source.placed() if self.source else None
        return replace(self, dataset=dataset, text_tower=text, out=self.out.absolute(), source=source)


def bank_of(order: Order) -> Bank:
    """Return the bank of an order, found again in this process.

    Raises:
        UserError: card or bank are not here.
    """
    return open_bank(find_card(order.dataset), order.spec.features)


def job_of(order: Order, bank: Bank) -> Job:
    """Return what `execute` needs, found again in this process.

    Raises:
        UserError: method or text tower are not here.
        HarnessError: they are others here than where the order was made, or the bank is.
    """
    spec = order.spec
    settle(spec.threads, spec.compiled)
    if spec.capability and torch.backends.cpu.get_cpu_capability().lower() != spec.capability:
        raise HarnessError(f"{spec.run_id}: this process did not start with ATEN_CPU_CAPABILITY={spec.capability}")
    cls = method_class(spec.method)
    text = text_tower(order.text_tower) if cls.card.needs_text else None
    config = cls.Config(**spec.config)
    named = ("preset", "seed", "selection", "device", "precision", "compiled", "ablation", "threads")
    rest = {name: getattr(spec, name) for name in (*named, *_ASKED)}
    if order.source is not None:
        # Clicks are those of the training, and the protocol says how its classes are translated.
        rest |= {"glances": spec.glances, "protocol": spec.protocol}
    here = spec_of(spec.method, config, bank, text, **rest)
    if here.identity != spec.identity:
        others = [name for name in RunSpec.model_fields if getattr(here, name) != getattr(spec, name)]
        raise HarnessError(f"{spec.run_id}: {', '.join(others)} changed since the run was planned; start it again")
    if order.source is None:
        return Job(spec, cls, config, task_of(bank, text), bank, order.workspace, bank.card, None, order.out)
    trained, weights = bank_of(order.source), None
    run = open_run(order.source.directory)
    if CHECKPOINT in run.result.files:
        weights = run.file(CHECKPOINT)
    task = task_of(trained, text)
    return Job(spec, cls, config, task, bank, order.workspace, trained.card, weights, order.out)


@lru_cache(maxsize=1)
def text_tower(source: str | None) -> TextTower:
    """Return the text tower; the last one is kept, it is frozen and shared by all runs of a process."""
    return load_text_tower(source)


def planned_tower(source: str | None) -> TextTower:
    """Return the text tower for planning: the embedded one is not built for its name and sizes."""
    return text_tower(source) if source is not None else cast(TextTower, PlannedTower(lambda: text_tower(None)))
