"""What loss and training cases ask of optimizer steps: gradients, rates, and how far parameters move.

Steps are taken by the code that the training loop takes them with. Everything goes by official parameter names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch, Method, Schedule, TrainingPlan
from harness.training.steps import backward, end_epoch, update

# Running statistics of more channels than `_WHOLE` are stored every 16th channel.
_WHOLE, _STRIDE = 64, 16
Terms = Mapping[str, Tensor]


def own_names(model: Method, official: Iterable[str]) -> dict[str, str]:
    """Return official name -> our name of every parameter; official ones that we have no use for are left out."""
    placeholder = torch.zeros(())
    return {theirs: ours for theirs in official for ours in model.official_state({theirs: placeholder})}


def gradient_norms(model: Method, official: Iterable[str]) -> dict[str, float | None]:
    """Return the L2 norm (float64) of each parameter's gradient, None where it has none, by official name."""
    norms = _gradients(model)
    return {theirs: norms[ours] for theirs, ours in own_names(model, official).items() if ours in norms}


def _gradients(model: Method) -> dict[str, float | None]:
    own = model.named_parameters()
    return {name: None if p.grad is None else float(p.grad.double().norm()) for name, p in own}


def total_with_gradients(terms: Terms) -> Tensor:
    """Return the sum of weighted loss terms; the parameters' gradients are then those of it."""
    total = _total(terms)
    total.backward()
    return total


class Start:
    """The parameters as they were at the start of a training."""

    def __init__(self, model: Method) -> None:
        self._now = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._then = {name: p.detach().clone() for name, p in self._now.items()}

    def moved(self) -> dict[str, float]:
        """Return the L2 norm (float64) of each trainable parameter's change since, by our name."""
        return {name: float((self._now[name].detach().double() - p.double()).norm()) for name, p in self._then.items()}


def first_steps(
    model: Method, batch: Batch, official: Iterable[str], count: int
) -> tuple[list[float], dict[str, float | None], dict[str, float]]:
    """Take `count` optimizer steps on one batch.

    Returns:
        The total loss before each step; gradient norms of the first step; L2 norms (float64) of the parameters' change
        in the first step. Both by official name.
    """
    schedules = model.schedules(TrainingPlan(1, count, (count, count)))
    start, moved = Start(model), []
    totals: list[float] = []
    norms: dict[str, float | None] = {}
    for step in range(count):
        totals.append(float(_total(backward(model, schedules, batch, step + 1))))
        norms = norms or gradient_norms(model, official)
        update(schedules)
        moved.append(start.moved())
    return totals, norms, _named(model, official, moved[0])


def train(
    case: Case,
    model: Method,
    batch: Callable[[int], Batch],
    losses: Callable[[Terms], Mapping[str, Any]],
    test: Callable[[], Mapping[str, Any]],
    drawn: Callable[[int], contextlib.AbstractContextManager[Any]] = lambda step: contextlib.nullcontext(),
) -> Computed:
    """Train through the steps of a case, and return everything that it asks for.

    `batch` gives the batch of a step (from 0), `losses` the case's loss terms from our weighted ones, `test` the
    outputs of the trained model in eval mode. In the context of `drawn` the method meets the case's random draws.
    """
    said, official = case.config["train"], [entry["name"] for entry in case.spec["parameters"]]
    lists = tuple(int(count) for count in said["list_batches"])
    schedules = model.train().schedules(TrainingPlan(int(said["max_epoch"]), min(lists), lists))
    start, moved = Start(model), []
    outputs: dict[str, Any] = {}
    gradnorm: dict[str, float | None] = {}
    epoch = 0
    for step, due in enumerate(said["epoch_of_step"]):
        for _ in range(epoch, due):
            end_epoch(schedules)
        epoch = due
        with drawn(step):
            terms = backward(model, schedules, batch(step), step + 1)
        gradnorm = gradnorm or gradient_norms(model, official)
        named = {**losses(terms), "total": _total(terms), "lr": _rates(schedules)}
        named["grad_norm"] = _length(_gradients(model).values())
        update(schedules)
        moved.append(start.moved())
        named["moved"] = _length(moved[-1].values())
        outputs |= {f"{name}.step{step}": value for name, value in named.items()}
    outputs |= _buffers(model, official)
    model.eval()
    with torch.no_grad():
        outputs |= test()
    return Computed(outputs, gradnorm, _named(model, official, moved[0]), _named(model, official, moved[-1]))


def _named(model: Method, official: Iterable[str], norms: Mapping[str, float]) -> dict[str, float]:
    return {theirs: norms[ours] for theirs, ours in own_names(model, official).items() if ours in norms}


def _total(terms: Terms) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def _length(norms: Iterable[float | None]) -> float:
    """L2 norm of a vector whose parts have these norms."""
    return float(sum(norm**2 for norm in norms if norm is not None) ** 0.5)


def _rates(schedules: Sequence[Schedule]) -> list[float]:
    return [float(group["lr"]) for schedule in schedules for group in schedule.optimizer.param_groups]


def _buffers(model: Method, official: Iterable[str]) -> dict[str, Tensor]:
    """Running statistics as cases store them."""
    own = dict(model.named_buffers())
    kept = {theirs: own[ours] for theirs, ours in own_names(model, official).items() if ours in own}
    return {
        f"buffer:{name}": (value if value.numel() <= _WHOLE else value[::_STRIDE]).clone()
        for name, value in kept.items()
        if ".running_" in name
    }
