"""The numbers a run computes with: exact fp32 unless asked otherwise, the same on every device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from harness.paths import harness_home
from harness.plugin.method import Method
from harness.plugin.tf32 import tf32
from harness.records.spec import Precision


@contextmanager
def arithmetic(method: Method, device: str, precision: Precision = "fp32", compiled: bool = False) -> Iterator[None]:
    """Let `method` compute its losses and predictions in `precision` meanwhile.

    fp32 is IEEE single precision: on CUDA it also switches off the TF32 that torch allows convolutions by default.
    tf32 lets CUDA round the factors of matrix products and convolutions to 10 bits. bf16 is torch's autocast, with
    probabilities in fp32 besides; weights, gradients and optimizer stay fp32. `compiled` compiles training steps, on
    CUDA into graphs; what was compiled is kept below HARNESS_HOME for the next run.
    """
    own = dict(vars(method))
    with tf32(precision == "tf32"):
        try:
            if precision == "bf16":
                # Round each call, not the training loop: backward takes the types of the forward pass by itself.
                for name in ("training_loss", "predict"):
                    vars(method)[name] = _rounded(getattr(method, name), device)
            if compiled:
                os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(harness_home() / "compiled"))
                mode = "reduce-overhead" if device == "cuda" else "default"
                vars(method)["training_loss"] = torch.compile(method.training_loss, mode=mode)
            yield
        finally:
            for name in ("training_loss", "predict"):
                if name not in own:
                    vars(method).pop(name, None)


def _rounded(call: Callable[..., Any], device: str) -> Callable[..., Any]:
    @wraps(call)
    def rounded(*args: Any) -> Any:
        with torch.autocast(device, torch.bfloat16), _WhatAutocastLeaves(device):
            return call(*args)

    return rounded


class _WhatAutocastLeaves(TorchFunctionMode):
    """Computes probabilities and their cross entropy in fp32, and lets any processor learn convolutions.

    In bf16 a probability above 0.998 is 1, whose cross entropy has no slope; autocast leaves the sigmoid in bf16, and
    on CUDA refuses the cross entropy. A processor that cannot multiply in bf16 takes another kernel for convolutions,
    whose backward pass refuses weights in any order of memory but one.
    """

    _EXACT = frozenset({torch.sigmoid, Tensor.sigmoid, F.sigmoid, F.binary_cross_entropy})

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and self._device == "cpu":
            args = (args[0], args[1].contiguous(), *args[2:])
        if func not in self._EXACT:
            return func(*args, **(kwargs or {}))
        exact = [value.float() if isinstance(value, Tensor) else value for value in args]
        with torch.autocast(self._device, enabled=False):
            return func(*exact, **(kwargs or {}))
