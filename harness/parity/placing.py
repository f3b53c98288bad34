"""Parity cases on an accelerator: what they draw and build goes there, what is compared comes back.

Adapters are written as for the CPU. Meanwhile a tensor or module that is made without naming a device is made on the
accelerator, and so is what comes from NumPy; what goes to NumPy comes from there. Only what a generator of the CPU
draws is made on the CPU, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from harness.plugin.tf32 import tf32

_FROM_NUMPY: Any = torch.from_numpy
_TO_NUMPY: Any = Tensor.numpy
_ARRAY: Any = Tensor.__array__


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Compute cases on a device, in exact fp32."""
    if device == "cpu":
        yield
        return
    places = (
        patch.object(torch, "from_numpy", lambda array: _FROM_NUMPY(array).to(device)),
        patch.object(Tensor, "numpy", lambda tensor, **force: _TO_NUMPY(tensor.cpu(), **force)),
        patch.object(Tensor, "__array__", lambda tensor, *kind: _ARRAY(tensor.cpu(), *kind)),
    )
    with tf32(False), places[0], places[1], places[2], _MadeOn(device):
        yield


class _MadeOn(TorchFunctionMode):
    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        said = dict(kwargs or {})
        if func in _device_constructors() and said.get("device") is None and said.get("generator") is None:
            said["device"] = self._device
        return func(*args, **said)
