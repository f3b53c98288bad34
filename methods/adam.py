"""Adam and AdamW of torch in blocks that stay in a CPU's cache: the same bits in about half the time for many weights.

Torch passes over all of a large tensor nine times; here every block takes all nine passes before the next begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_BLOCK = 1 << 17  # entries


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`; what its options or devices other than a CPU ask for is torch's own step."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; returns the closure's loss, if there is one."""
        if not all(_plain(group) for group in self.param_groups):
            return super().step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            # As torch names and keeps them, so that one can load what the other has saved.
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        taken, (beta1, beta2), decay = state["step"].item(), group["betas"], group["weight_decay"]
        rate, root = group["lr"] / (1 - beta1**taken), (1 - beta2**taken) ** 0.5
        for p, g, mean, square in _blocks(parameter, gradient, state["exp_avg"], state["exp_avg_sq"]):
            if decay and group["decoupled_weight_decay"]:
                p.mul_(1 - group["lr"] * decay)
            elif decay:
                g = g.add(p, alpha=decay)
            mean.lerp_(g, 1 - beta1)
            square.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            p.addcdiv_(mean, square.sqrt().div_(root).add_(group["eps"]), value=-rate)


class AdamW(Adam):
    """`torch.optim.AdamW`."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, weight_decay: float = 1e-2) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, decoupled_weight_decay=True)


def _plain(group: dict[str, Any]) -> bool:
    """Whether the step is that of the paper, on a CPU."""
    options = ("amsgrad", "maximize", "capturable", "differentiable", "fused", "foreach")
    return not any(group[name] for name in options) and all(p.device.type == "cpu" for p in group["params"])


def _blocks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Return views of at most `_BLOCK` entries of tensors of one shape, or whole ones where their memory differs."""
    first = tensors[0]
    if first.numel() <= _BLOCK:
        return [tensors]
    order = sorted(range(first.dim()), key=first.stride, reverse=True)
    turned = [x.permute(order) for x in tensors]
    if not all(x.is_contiguous() for x in turned):
        return [tensors]
    return zip(*(x.view(-1).split(_BLOCK) for x in turned), strict=True)
