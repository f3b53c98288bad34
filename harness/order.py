"""One run to do, in a form that another process or machine understands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from harness.computation import settle, task_of
from harness.data.cards import find_card, open_bank
from harness.errors import HarnessError
from harness.execute import Job, spec_of
from harness.registry import method_class
from harness.spec import RunSpec
from harness.text import TextTower, load_text_tower


@dataclass(frozen=True)
class Order:
    """`dataset` is a card's name or the absolute path of its file, `text_tower` a directory, a hub id or None.

    With `fresh`, what an earlier attempt left is ignored.
    """

    spec: RunSpec
    dataset: str
    text_tower: str | None
    out: Path
    fresh: bool = False

    @property
    def run(self) -> str:
        """The run's id."""
        return self.spec.run_id

    @property
    def directory(self) -> Path:
        """Where the finished run lies."""
        return self.out / self.run


def job_of(order: Order) -> Job:
    """Return what `execute` needs, found again in this process.

    Raises:
        UserError: card, bank, method or text tower are not here.
        HarnessError: they are others here than where the order was made.
    """
    spec = order.spec
    settle(spec.threads)
    if spec.capability and torch.backends.cpu.get_cpu_capability().lower() != spec.capability:
        raise HarnessError(f"{spec.run_id}: this process did not start with ATEN_CPU_CAPABILITY={spec.capability}")
    card = find_card(order.dataset)
    bank = open_bank(card, spec.features)
    cls = method_class(spec.method)
    text = text_tower(order.text_tower) if cls.card.needs_text else None
    config = cls.Config(**spec.config)
    named = ("preset", "seed", "selection", "device", "precision", "compiled", "fused", "ablation", "threads")
    rest = {name: getattr(spec, name) for name in (*named, "capability", "nudge")}
    here = spec_of(spec.method, config, bank, text, **rest)
    if here.identity != spec.identity:
        others = [name for name in RunSpec.model_fields if getattr(here, name) != getattr(spec, name)]
        raise HarnessError(f"{spec.run_id}: {', '.join(others)} changed since the run was planned; start it again")
    return Job(spec, cls, config, task_of(bank, text), bank, order.out / ".work" / spec.run_id, order.out)


@lru_cache(maxsize=1)
def text_tower(source: str | None) -> TextTower:
    """Return the text tower; the last one is kept, it is frozen and shared by all runs of a process."""
    return load_text_tower(source)
