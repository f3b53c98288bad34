"""One optimizer step, in two halves: gradients of a batch's loss, then what the optimizers make of them.

The training loop takes every step of a training through here, and so does a parity case of training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from harness.errors import Diverged
from harness.plugin import contract
from harness.plugin.method import Batch, Method, Schedule
from harness.training.watch import Step, Watch


def backward(
    method: Method, schedules: Sequence[Schedule], batch: Batch, step: int, watch: Watch | None = None
) -> dict[str, Tensor]:
    """Fill the gradients of a batch's loss, and return its terms (scalars, detached); `step` counts from 1.

    A `watch` that defers takes the numbers in unread; whoever reads it calls `refuse`.

    Raises:
        Diverged: a loss term or a gradient is NaN or infinite.
        BrokenMethod: the loss terms are of a wrong type.
    """
    try:
        terms = contract.terms(method, batch)
    except RuntimeError as error:
        if "between 0 and 1" not in str(error):  # how torch's cross-entropy refuses scores that are NaN
            raise
        raise Diverged(f"{method.card.name} diverged at step {step}: a score is NaN{_why(method, batch)}") from error
    loss = torch.stack(list(terms.values())).sum()
    deferred = watch is not None and watch.deferred
    if not deferred and not torch.isfinite(loss):
        raise _bad_loss(method, batch, step, (name for name, term in terms.items() if not torch.isfinite(term)))
    for schedule in schedules:
        schedule.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    gradients = [p.grad for p in method.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not deferred and not math.isfinite(float(norm)):
        raise _bad_gradient(method, batch, step)
    if watch is not None:
        watch.after(step, terms, loss, norm)
    return {name: term.detach() for name, term in terms.items()}


def refuse(method: Method, batch: Batch, step: Step) -> Diverged:
    """Return what to raise for a step that was read later and is not finite; `batch` is that step's."""
    if not math.isfinite(step.loss):
        bad = (name for name, value in step.terms.items() if not math.isfinite(value))
        return _bad_loss(method, batch, step.number, bad)
    return _bad_gradient(method, batch, step.number)


def update(schedules: Sequence[Schedule], warmth: float = 1.0, stopped: Tensor | None = None) -> None:
    """Take the step that the gradients ask for: clip, step of the optimizer, step of a schedule that goes by steps.

    `warmth` is the share of their learning rates that the optimizers step with. Where `stopped` (a scalar on the
    device) is 1, the optimizers leave the weights as they are.
    """
    for schedule in schedules:
        if schedule.clip_norm is not None:
            own = [p for group in schedule.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(own, schedule.clip_norm)
        with _warming(schedule.optimizer, warmth), _heeding(schedule.optimizer, stopped):
            schedule.optimizer.step()
        if schedule.scheduler is not None and schedule.interval == "step":
            schedule.scheduler.step()


def end_epoch(schedules: Sequence[Schedule]) -> None:
    """Step the schedules that go by epochs."""
    for schedule in schedules:
        if schedule.scheduler is not None and schedule.interval == "epoch":
            schedule.scheduler.step()


@contextmanager
def _warming(optimizer: torch.optim.Optimizer, warmth: float) -> Iterator[None]:
    """An optimizer with a share of its learning rates meanwhile."""
    rates = [group["lr"] for group in optimizer.param_groups]
    if warmth < 1:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * warmth
    yield
    if warmth < 1:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


@contextmanager
def _heeding(optimizer: torch.optim.Optimizer, stopped: Tensor | None) -> Iterator[None]:
    """An optimizer that leaves its step out where `stopped` is 1, told in the words of `torch.amp.GradScaler`."""
    if stopped is None:
        yield
        return
    told: Any = optimizer
    told.grad_scale, told.found_inf = None, stopped
    yield
    del told.grad_scale, told.found_inf


def _bad_loss(method: Method, batch: Batch, step: int, bad: Iterable[str]) -> Diverged:
    return Diverged(
        f"{method.card.name} diverged at step {step}: loss term {', '.join(bad)} is not finite{_why(method, batch)}"
    )


def _bad_gradient(method: Method, batch: Batch, step: int) -> Diverged:
    return Diverged(
        f"{method.card.name} diverged at step {step}: the gradient of loss term "
        f"{', '.join(_bad_gradients(method, batch))} is not finite{_why(method, batch)}"
    )


def _bad_gradients(method: Method, batch: Batch) -> list[str]:
    """Names of the loss terms whose own gradient is not finite (the step is computed again, term by term)."""
    parameters = [p for p in method.parameters() if p.requires_grad]
    bad = []
    for name, term in contract.terms(method, batch).items():
        if not term.requires_grad:
            continue
        gradients = torch.autograd.grad(term.sum(), parameters, retain_graph=True, allow_unused=True)
        if any(g is not None and not torch.isfinite(g).all() for g in gradients):
            bad.append(name)
    return bad or ["(sum of all)"]


def _why(method: Method, batch: Batch) -> str:
    norm = float(batch.features.norm(dim=-1).mean())
    return f"; the batch's mean feature norm is {norm:.3g}, the method expects: {method.card.input_scale}"
