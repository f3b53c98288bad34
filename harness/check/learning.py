"""Checks of training: its losses, its gradients, its seeds."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from harness.check.subject import Subject
from harness.check.verdict import Skipped, listed, require, same, same_predictions
from harness.plugin import contract
from harness.plugin.method import Method


def losses(subject: Subject) -> str:
    """Finite loss terms, at every width, before and after a step."""
    _needs_gradient_training(subject)
    names: dict[str, None] = {}
    for width in subject.widths:
        method = subject.build(width=width)
        subject.learn(method, steps=1)
        batches = subject.batches(method, steps=2)
        for epoch in range(2):
            for batch in batches.epoch(epoch):
                terms = subject.terms(method, batch)
                for name, term in terms.items():
                    require(bool(term.isfinite()), f"loss term {name} is {float(term.detach())}")
                names.update(dict.fromkeys(terms))
    return ", ".join(names)


def gradients(subject: Subject) -> str:
    """Every trainable parameter belongs to one optimizer and gets a gradient that is not zero within a few steps."""
    _needs_gradient_training(subject)
    steps = 5
    method = subject.build()
    parameters = {name: p for name, p in method.named_parameters() if p.requires_grad}
    require(bool(parameters), "there is no trainable parameter")
    reached: set[str] = set()

    def note(name: str, parameter: Tensor) -> None:
        if parameter.grad is not None and parameter.grad.count_nonzero():
            reached.add(name)

    for name, parameter in parameters.items():
        parameter.register_post_accumulate_grad_hook(partial(note, name))
    subject.learn(method, steps)
    missed = [name for name in parameters if name not in reached]
    require(not missed, f"no gradient in {steps} steps: {listed(missed)}")
    plan = subject.batches(method, steps).plan
    groups = [group for schedule in contract.schedules(method, plan) for group in schedule.optimizer.param_groups]
    owned = [id(p) for group in groups for p in group["params"]]
    strays = [name for name, p in parameters.items() if owned.count(id(p)) != 1]
    require(not strays, f"not in exactly one optimizer: {listed(strays)}")
    return f"{len(parameters)} trainable parameters"


def determinism(subject: Subject) -> str:
    """The seed decides initial weights, losses and trained weights; predicting again gives the same."""
    first, again, other = (_course(subject, seed) for seed in (0, 0, 1))
    for what, one, two in zip(("initial weights", "loss terms", "weights after learning"), first, again, strict=True):
        require(same(one, two), f"{what} differ between two times the same seed")
    differs = any(not same(one, two) for one, two in zip(first, other, strict=True))
    require(differs or not subject.by_gradient, "another seed gives the same weights")
    method, videos = subject.learned, subject.videos(5, 40)
    before = _copied(method)
    predictions = [subject.predict(method, videos) for _ in range(2)]
    require(same_predictions(*predictions), "predict gives other scores the second time")
    require(same(before, _copied(method)), "predict changes the method's state")
    return ""


def _course(subject: Subject, seed: int) -> tuple[dict[str, Tensor], ...]:
    """State at first, loss terms of two steps, state at last."""
    method = subject.build(seed)
    initial = _copied(method)
    records = subject.learn(method, steps=2, seed=seed)
    terms = [(record["step"], name, value) for record in records for name, value in record["terms"].items()]
    return initial, {f"{name} of step {step}": torch.tensor(value) for step, name, value in terms}, _copied(method)


def _copied(method: Method) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in method.state_dict().items()}


def _needs_gradient_training(subject: Subject) -> None:
    if not subject.by_gradient:
        raise Skipped(f"training is {subject.cls.card.training}")
