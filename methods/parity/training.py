"""What loss cases ask of a training: gradient norms and the first optimizer steps, by official parameter names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from harness.method import Batch, Method, TrainingPlan


def own_names(model: Method, official: Iterable[str]) -> dict[str, str]:
    """Return official name -> our name of every parameter; official ones that we have no use for are left out."""
    placeholder = torch.zeros(())
    return {theirs: ours for theirs in official for ours in model.official_state({theirs: placeholder})}


def gradient_norms(model: Method, official: Iterable[str]) -> dict[str, float | None]:
    """Return the L2 norm (float64) of each parameter's gradient, None where it has none, by official name."""
    own = dict(model.named_parameters())
    norms: dict[str, float | None] = {}
    for theirs, ours in own_names(model, official).items():
        if ours in own:
            gradient = own[ours].grad
            norms[theirs] = None if gradient is None else float(gradient.double().norm())
    return norms


def first_steps(
    model: Method, batch: Batch, official: Mapping[str, Tensor], count: int
) -> tuple[list[float], dict[str, float | None], dict[str, float]]:
    """Take `count` optimizer steps on one batch.

    Returns:
        The total loss before each step; gradient norms of the first step; L2 norms (float64) of the parameters' change
        in the first step. Both by official name.
    """
    schedules = model.schedules(TrainingPlan(1, count, (count, count)))
    before = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    totals: list[float] = []
    norms: dict[str, float | None] = {}
    moved: dict[str, float] = {}
    for step in range(count):
        for schedule in schedules:
            schedule.optimizer.zero_grad()
        total = torch.stack([term.reshape(()) for term in model.training_loss(batch).values()]).sum()
        total.backward()
        totals.append(total.item())
        if step == 0:
            norms = gradient_norms(model, official)
        for schedule in schedules:
            schedule.optimizer.step()
        if step == 0:
            own = dict(model.named_parameters())
            names = own_names(model, official).items()
            moved = {
                theirs: float((own[ours].detach().double() - before[ours]).norm())
                for theirs, ours in names
                if ours in own
            }
    return totals, norms, moved
