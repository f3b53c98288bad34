"""Optimizers that do without torch's compiler, which a process that makes its first one would import for a second."""

from __future__ import annotations

import torch

# Where torch keeps what such a function calls instead once its compiler is there.
_INSTEAD = "__dynamo_disable"


def without_compiler() -> None:
    """Let this process's optimizers call their own methods directly.

    Torch hides these from its compiler, and imports that to do so. It has nothing to hide from where an optimizer is
    made, saved or loaded by code that is not compiled, as our training loop is. Where torch keeps this otherwise, all
    is as it was.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        hidden = getattr(getattr(torch.optim.Optimizer, name, None), "__wrapped__", None)
        if hidden is not None and not hasattr(hidden, _INSTEAD):
            setattr(hidden, _INSTEAD, hidden)
