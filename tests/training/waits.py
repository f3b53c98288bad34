"""Which operations of a computation would make the host wait for an accelerator, found on a CPU.

Tensors that come from what would lie on the accelerator (features, weights, labels) are followed by their memory; an
operation that needs their values on the host is noted. What is made of numbers of the host alone costs no wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operators whose result, or its size, the host learns from the values of a tensor.
_READING = {
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "bincount"),
    *("unique_dim", "_unique", "_unique2", "unique_consecutive"),
}
# Functions that read memory past the operators, and those that write it.
_COPYING = {Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__}
_SENDING = {Tensor.to, torch.tensor, torch.as_tensor}


class Waits:
    """Notes operations by name while it is entered; `device` are the tensors that lie on the accelerator."""

    def __init__(self, device: Iterable[Tensor]) -> None:
        self.found: Counter[str] = Counter()
        # Kept alive, so that no other tensor gets their memory.
        self._there = {_memory(tensor): tensor for tensor in device}
        self._modes = (_Operators(self), _Functions(self))

    def __enter__(self) -> Waits:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def there(self, values: Any) -> list[Tensor]:
        """Those of the tensors in `values` that lie on the accelerator."""
        return [x for x in tree_leaves(values) if isinstance(x, Tensor) and _memory(x) in self._there]

    def moved(self, values: Any) -> None:
        """The tensors in `values` lie on the accelerator as well."""
        for x in tree_leaves(values):
            if isinstance(x, Tensor):
                self._there[_memory(x)] = x.detach()


class _Operators(TorchDispatchMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        there = self._waits.there((args, kwargs))
        if name in _READING and there:
            self._waits.found[name] += 1
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [x for x in tree_leaves(args[1]) if isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)]
            if self._waits.there(masks):
                self._waits.found[f"{name} by a mask"] += 1
        if name == "repeat_interleave" and self._waits.there(args[:1]):
            self._waits.found[name] += 1
        result = func(*args, **(kwargs or {}))
        if there:
            self._waits.moved(result)
        return result


class _Functions(TorchFunctionMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _COPYING and self._waits.there(args[:1]):
            self._waits.found[func.__name__] += 1
        result = func(*args, **(kwargs or {}))
        if func in _SENDING and not self._waits.there(args[:1]) and _names_a_place(args[1:], kwargs or {}):
            # A copy from the host, which waits unless it is told not to.
            if not (kwargs or {}).get("non_blocking"):
                self._waits.found[f"{func.__name__} (from the host)"] += 1
            self._waits.moved(result)
        return result


def _names_a_place(args: Any, kwargs: Any) -> bool:
    """Whether one of the arguments says on which device a tensor is to be: a device, or a tensor that lies there."""
    return any(isinstance(x, (torch.device, Tensor)) for x in [*args, *kwargs.values()])


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
