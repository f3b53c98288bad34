"""Several seeds of one method in one training step: their weights stacked, the computation mapped over them.

Nothing is dropped out, so that both ways compute the same: each seed has its own weights and its own batch. It shows
whether stacking pays on a machine; `harness run` trains seeds one by one, beside each other with `--jobs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from harness.plugin import Batch, Method
from harness.training.sampling import moved
from tests.benchmarks.workload import Size, batch, both, schedules, step


class Seeds:
    """So many seeds of a method, ready to take steps one by one or stacked; both begin at the same weights."""

    def __init__(self, name: str, size: Size, preset: str, count: int, videos: int | None, device: str = "cpu") -> None:
        self.methods = [both(name, size, preset)[1].to(device).eval() for _ in range(count)]
        for seed, method in enumerate(self.methods):
            _shaken(method, seed)
        drawn = batch(self.methods[0], videos or self.methods[0].sampling().batch, full=True)
        self.pairs = drawn.normal
        order = [torch.Generator().manual_seed(seed) for seed in range(count)]
        features = [drawn.features[:, torch.randperm(drawn.features.shape[1], generator=each)] for each in order]
        self.batches = [moved(replace(drawn, features=each), device) for each in features]
        self._optimizers = [schedules(method) for method in self.methods]
        self._stacked = _Stacked(self.methods, self.batches, self._optimizers[0][0].optimizer)

    def alone(self, seed: int) -> Tensor:
        """Take a step of one seed; return its loss terms."""
        terms = step(self.methods[seed], self._optimizers[seed], self.batches[seed])
        return torch.stack([term.detach().reshape(()) for term in terms.values()])

    def together(self) -> Tensor:
        """Take a step of all seeds; return their loss terms `[seeds, terms]`."""
        return self._stacked.step()

    def weights(self) -> list[tuple[Tensor, Tensor]]:
        """Return the weights of all seeds, `[seeds, ...]`, of both ways."""
        alone, _ = stack_module_state(cast(Any, self.methods))
        return [(alone[name], stacked) for name, stacked in self._stacked.weights.items()]


class _Stacked:
    """The weights of all seeds as one, `[seeds, ...]`, and their optimizer."""

    def __init__(self, methods: Sequence[Method], batches: Sequence[Batch], optimizer: torch.optim.Optimizer) -> None:
        weights, self._buffers = stack_module_state(cast(Any, methods))
        self.weights = {name: value.detach().clone().requires_grad_() for name, value in weights.items()}
        self._features = torch.stack([each.features for each in batches])
        self._loss = _Loss(methods[0], batches[0])
        kind: Any = type(optimizer)
        self._optimizer = kind(self.weights.values(), **optimizer.defaults)

    def step(self) -> Tensor:
        def terms(weights: dict[str, Tensor], buffers: dict[str, Tensor], features: Tensor) -> Tensor:
            named = {f"method.{name}": value for name, value in [*weights.items(), *buffers.items()]}
            return cast(Tensor, functional_call(self._loss, named, (features,)))

        found = vmap(terms)(self.weights, self._buffers, self._features)
        self._optimizer.zero_grad(set_to_none=True)
        found.sum().backward()
        self._optimizer.step()
        return found.detach()


class _Loss(nn.Module):
    """A method's loss terms as a function of the features of a batch."""

    def __init__(self, method: Method, drawn: Batch) -> None:
        super().__init__()
        self.method, self._drawn = method, drawn

    def forward(self, features: Tensor) -> Tensor:
        """Return the loss terms `[terms]`."""
        terms = self.method.training_loss(replace(self._drawn, features=features))
        return torch.stack([term.reshape(()) for term in terms.values()])


def _shaken(method: Method, seed: int) -> None:
    """Move the weights, so that no two seeds have the same."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in method.parameters():
            weight.mul_(1 + 0.05 * torch.randn(weight.shape, generator=generator).to(weight))
