"""StableAdamW: AdamW with AMSGrad whose step shrinks where the normalised gradient is large (arXiv 2304.13013).

With the learning-rate curve that DSANet runs it under.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class StableAdamW(torch.optim.Optimizer):
    """As DSANet's code has it; for each tensor p with gradient g, from step t = 1:

    p <- p (1 - lr wd); m, v: the usual moving averages; v^ = max(v^, v), not bias-corrected;
    d = sqrt(v^) / sqrt(1 - beta2^t) + eps; c = max(1, RMS(g / d) / clip); p <- p - lr / ((1 - beta1^t) c) m / d.

    Where the attribute `found_inf`, a scalar on the device, is 1, parameters stay as they are.
    """

    leaves_out = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-10,
        weight_decay: float = 1e-4,
        clip: float = 1.0,
        amsgrad: bool = True,
    ) -> None:
        rest = {"weight_decay": weight_decay, "clip": clip, "amsgrad": amsgrad}
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, **rest})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        left_out: Any = getattr(self, "found_inf", None)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    before = None if left_out is None else parameter.clone()
                    self._update(parameter, parameter.grad, group)
                    if before is not None:
                        parameter.copy_(torch.where(left_out > 0, before, parameter))
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
            if group["amsgrad"]:
                state["largest"] = torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean = state["mean"].mul_(beta1).add_(gradient, alpha=1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if group["amsgrad"]:
            square = torch.maximum(state["largest"], square, out=state["largest"])
        scale = square.sqrt().div_((1 - beta2 ** state["step"]) ** 0.5).add_(group["eps"])
        ratio = gradient / scale
        rms = ratio.norm() / ratio.numel() ** 0.5
        # Kept as a tensor: reading it would make the device wait.
        shrink = (rms / group["clip"]).clamp(min=1.0)
        rate = group["lr"] / (1 - beta1 ** state["step"])
        torch.div(mean, scale, out=ratio)
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(ratio.mul_(rate / shrink))


def warmup_cosine(step: int, total: int, warmup: int, final: float) -> float:
    """Return the factor of the learning rate at `step` (from 0) of `total`: 0 up to 1, then a cosine down to `final`.

    The factor is 0 at the first step and 1 at two steps, the last of the warm-up and the first of the cosine. A
    training shorter than its warm-up ends on the way up.
    """
    if step < warmup:
        return step / max(1, warmup - 1)
    progress = max(0, min(step, total - 1) - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * progress / max(1, total - warmup))) / 2
