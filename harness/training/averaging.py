"""The mean of a method's weights over the last steps of a training.

Where the steps do not become small, the last one is one draw of many: rounding alone decides which. The mean of the
last steps is nearly the same whatever the draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from harness.plugin.method import Method


class Average:
    """A running mean over the last `share` of `total` steps; a `share` of 0 keeps none and costs nothing.

    Trained weights are averaged, and the running statistics of normalisations.
    """

    def __init__(self, share: float, total: int) -> None:
        self._first = total - round(share * total) + 1
        self._steps = 0
        self._mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def after_step(self, method: Method, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        if step < self._first:
            return
        self._steps += 1
        for name, value in _averaged(method).items():
            if self._steps == 1:
                self._mean[name] = value.clone()
            else:
                self._mean[name].lerp_(value, 1 / self._steps)

    @contextmanager
    def shown(self, method: Method) -> Iterator[None]:
        """The method with its mean weights meanwhile, as what looks at it shall see it."""
        kept = {name: value.clone() for name, value in _averaged(method).items()} if self._mean else {}
        self.put(method)
        try:
            yield
        finally:
            _put(method, kept)

    def put(self, method: Method) -> None:
        """Give the method its mean weights; nothing where none are kept."""
        _put(method, self._mean)

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs to know."""
        return {"steps": torch.tensor(self._steps), **{f"mean.{name}": value for name, value in self._mean.items()}}

    def restore(self, state: Mapping[str, Tensor], method: Method) -> None:
        """Continue from what `state` returned."""
        self._steps = int(state["steps"])
        own = _averaged(method)
        self._mean = {name: state[f"mean.{name}"].to(own[name].device) for name in own} if self._steps else {}


def _averaged(method: Method) -> dict[str, Tensor]:
    """The trained weights and floating-point buffers that are saved, by name; the tensors themselves."""
    frozen = {name for name, value in method.named_parameters() if not value.requires_grad}
    return {
        name: value for name, value in method.saved_state().items() if value.is_floating_point() and name not in frozen
    }


@torch.no_grad()
def _put(method: Method, values: Mapping[str, Tensor]) -> None:
    own = _averaged(method)
    for name, value in values.items():
        own[name].copy_(value)
