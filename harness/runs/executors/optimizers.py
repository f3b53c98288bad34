"""Optimizers that do without torch's compiler, which a process that makes its first one would import for a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch

# Where torch keeps what such a function calls instead once its compiler is there.
_INSTEAD = "__dynamo_disable"


@cache
def without_compiler() -> None:
    """Let this process's optimizers call their own methods directly.

    Torch hides these from its compiler, and imports that to do so. It has nothing to hide from where an optimizer is
    made, stepped, saved or loaded by code that is not compiled, as our training loop is. Where torch keeps this
    otherwise, all is as it was. A second call does nothing: what a process does to itself must not look like a run's.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        hidden = getattr(getattr(torch.optim.Optimizer, name, None), "__wrapped__", None)
        if hidden is not None and not hasattr(hidden, _INSTEAD):
            setattr(hidden, _INSTEAD, hidden)
    for kind in (torch.optim.Adam, torch.optim.SGD):  # AdamW steps as Adam does
        step = getattr(vars(kind)["step"], "__wrapped__", None)
        if step is not None:
            kind.step = _without_gradient(step)  # type: ignore[method-assign]


def _without_gradient(step: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(step)
    def stepped(self: torch.optim.Optimizer, *args: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args)

    return stepped
