"""Training cases that store six official steps: the first three to hold to, what follows to be roughly equal to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from harness.plugin import Batch, Method, TrainingPlan
from harness.training.steps import backward, update

from .training import Start, Terms, own_names

FIRST = 3


def six_steps(
    model: Method,
    batch: Callable[[int], Batch],
    columns: Callable[[Terms], Sequence[Any]],
    moved: Sequence[str],
    drawn: Callable[[int], contextlib.AbstractContextManager[Any]] = lambda step: contextlib.nullcontext(),
) -> dict[str, Any]:
    """Train through the steps of a case on one batch each; return `terms_first3`, `terms_later` and `moved`.

    `batch` gives the batch of a step (from 0), `columns` a row of the case's terms, unweighted but for the total, from
    our weighted ones; `moved` are the official names of the parameters whose change is stored. In the context of
    `drawn` the method meets the case's random draws. The model is left in eval mode.
    """
    steps = 2 * FIRST
    schedules = model.train().schedules(TrainingPlan(1, steps, (steps, steps)))
    start, rows = Start(model), []
    for step in range(steps):
        with drawn(step):
            terms = backward(model, schedules, batch(step), step + 1)
        total = torch.stack(list(terms.values())).sum()
        rows.append([float(value) for value in (*columns(terms), total)])
        update(schedules)
    model.eval()
    return {"terms_first3": rows[:FIRST], "terms_later": rows[FIRST:], "moved": _moved(model, start.moved(), moved)}


def _moved(model: Method, changes: Mapping[str, float], official: Sequence[str]) -> list[float]:
    names = own_names(model, official)
    return [changes[names[theirs]] for theirs in official]
