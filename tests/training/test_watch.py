"""Numbers of steps that are read together, as on an accelerator: the same bits, and the same words where one is bad."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import harness.training.loop as loop
import harness.training.watch as watching
from harness.errors import Diverged
from harness.methods.stable_adamw import StableAdamW
from harness.plugin import Looks, Method, Schedule
from harness.training.sampling import Batches, moved
from harness.training.selection import Selector
from harness.training.steps import update
from harness.training.watch import Watch
from tests.tiny import Tiny, TinyConfig, split, task


class Deferring(Watch):
    """A watch that takes the CPU for an accelerator, and counts how often it is read."""

    readings: int = 0

    def __init__(self, schedules: list[Schedule], device: str) -> None:
        super().__init__(schedules, device)
        self.deferred, self.stopped = True, torch.zeros(())

    def read(self) -> list[watching.Step]:
        type(self).readings += 1
        return super().read()


@pytest.fixture
def deferring(monkeypatch: pytest.MonkeyPatch) -> type[Deferring]:
    monkeypatch.setattr(loop, "Watch", Deferring)
    monkeypatch.setattr(Deferring, "readings", 0)
    return Deferring


class Fused(Tiny):
    """Tiny with two optimizers that can leave a step out."""

    def schedules(self, plan: object) -> list[Schedule]:
        adam = torch.optim.Adam([self.score.weight], lr=0.05, fused=True)
        return [Schedule(adam, clip_norm=5.0), Schedule(StableAdamW([self.score.bias], lr=0.05))]


def _trained(selector: Selector | None = None, **settings: object) -> tuple[Method, list[dict[str, object]], str]:
    """The method, its records, and what it was refused with."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = Fused(TinyConfig(**settings), task())
    batches = Batches(split([9] * 24), np.arange(24), method.sampling(), 0, "tiny-set")
    try:
        records = loop.train(method, batches, selector or Selector("last", Looks(), None, ""))
    except Diverged as error:
        return method, [], str(error)
    return method, [{**record, "seconds": 0} for record in records], ""


def _weights(method: Method) -> np.ndarray:
    return torch.cat([value.flatten() for value in method.saved_state().values()]).numpy()


def test_reading_later_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, records, _ = _trained()
    monkeypatch.setattr(loop, "Watch", Deferring)
    monkeypatch.setattr(Deferring, "readings", 0)
    found, again, _ = _trained()
    np.testing.assert_array_equal(_weights(found), _weights(expected))
    assert again == records
    assert Deferring.readings == 3, "once at the end of each epoch"


@pytest.mark.parametrize(
    ("settings", "step", "term"),
    [
        ({"break_at": 4}, 4, "loss term size"),
        ({"break_at": 2, "break_gradient": True}, 2, "the gradient of loss term root"),
    ],
)
def test_what_diverged_is_told_in_the_same_words_and_has_moved_no_weight(
    settings: dict[str, object], step: int, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _, expected = _trained(**settings)
    assert f"step {step}: {term}" in expected
    monkeypatch.setattr(loop, "Watch", Deferring)
    later, _, found = _trained(**settings)
    assert found == expected
    np.testing.assert_array_equal(_weights(later), _weights(method))


def test_nothing_is_looked_at_after_the_step_that_diverged(deferring: type[Deferring]) -> None:
    seen: list[int] = []
    selector = Selector("oracle", Looks(2, 2), lambda method: float(len(seen)) + (seen.append(1) or 0), "test")
    _, _, refused = _trained(selector, break_at=2)
    assert re.search("step 2", refused)
    assert seen == []


def test_long_epochs_are_read_at_intervals(deferring: type[Deferring], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "READ_EVERY", 2)
    _trained(epochs=2)  # of three steps
    assert deferring.readings == 4


def test_only_an_accelerator_whose_optimizers_can_leave_a_step_out_is_read_later() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    plain, fused = (Schedule(torch.optim.Adam([weight], fused=fused)) for fused in (False, True))
    stable = Schedule(StableAdamW([weight], lr=0.1))
    assert not Watch([fused], "cpu").deferred
    assert Watch([fused, stable], "meta").deferred
    assert not Watch([fused, plain], "meta").deferred


@pytest.mark.parametrize("kind", ["adam", "stable"])
def test_a_step_that_is_left_out_moves_nothing(kind: str) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], fused=True) if kind == "adam" else StableAdamW([weight], lr=0.1)
    weight.grad = torch.full((3,), torch.nan)
    update([Schedule(optimizer, clip_norm=1.0)], stopped=torch.ones(()))
    assert weight.tolist() == [1, 1, 1]
    weight.grad = torch.ones(3)
    update([Schedule(optimizer)], stopped=torch.zeros(()))
    assert kind == "stable" or (weight < 1).all()
    assert not hasattr(optimizer, "found_inf")


def test_a_batch_on_another_device_keeps_its_lengths_on_the_cpu() -> None:
    batches = Batches(split([9, 4, 9, 5]), np.arange(4), Tiny(TinyConfig(), task()).sampling(), 0, "tiny-set")
    batch = batches.batch(0, 0)
    there = moved(batch, "meta")
    assert there.features.device.type == there.lengths.device.type == "meta"
    assert there.known_lengths is not None
    assert there.known_lengths.tolist() == batch.lengths.tolist()
    assert there.longest == int(batch.lengths.max())
    assert moved(batch, "cpu") is batch
