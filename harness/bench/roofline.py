"""How near a computation comes to what the machine can do (roofline, Williams et al., 2009).

No computation takes less time than its floating-point operations at the machine's peak, nor than its bytes at the
machine's bandwidth; the larger of both times binds it. What is counted:

- FLOPs: those of matrix products, convolutions and attention, 2 for a multiplication and an addition.
- Bytes, each as often as it must move at least: inputs, weights and buffers that an operator reads, in a training step
  again by the backward pass (a table that rows are looked up in counts by the rows); each tensor that an operator makes
  (an activation, a gradient) written and read; of a training step, trained weights and the state of the optimizers read
  and written by them.

Peak and bandwidth are measured: a product of large matrices in the same arithmetic and number of threads, and a copy of
what no cache holds. The share reached may be above 1 where a cache holds a small method's tensors, and where a library
needs fewer multiplications than are counted: convolutions of 3 x 3 by Winograd's way, most of what AnomalyCLIP takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from harness.bench.flops import UNCOUNTED
from harness.bench.timing import timed
from harness.plugin.method import Batch, Method, Schedule
from harness.records.benchmark import Roofline
from harness.records.spec import Precision
from harness.training.steps import backward, update

# Rows of the matrices and numbers of the copy.
_ROWS = {"cpu": 1024, "cuda": 8192}
_NUMBERS = {"cpu": 1 << 25, "cuda": 1 << 28}
# Seconds that a product and a copy are given at least.
_LEAST = 0.3


@dataclass(frozen=True)
class Machine:
    """What the hardware reached: FLOPs and bytes (read and written) per second."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """What a computation asks for at least."""

    flops: int
    bytes: int

    def on(self, machine: Machine, seconds: float) -> Roofline:
        """Return what the work could take on a machine beside the `seconds` that it took."""
        compute, memory = self.flops / machine.flops, self.bytes / machine.bytes
        attainable = max(compute, memory)
        return Roofline(
            flops=self.flops,
            bytes=self.bytes,
            peak_flops=machine.flops,
            bandwidth=machine.bytes,
            seconds=seconds,
            attainable_seconds=attainable,
            share=attainable / seconds,
            bound="compute" if compute >= memory else "memory",
        )


def measured_machine(device: str, precision: Precision, budget: float) -> Machine:
    """Measure peak and bandwidth, under the switches of TF32 as they are set, for about `budget` seconds each."""
    rows, numbers = _ROWS[torch.device(device).type], _NUMBERS[torch.device(device).type]
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    with torch.inference_mode():
        factors = [torch.randn(rows, rows, device=device).to(kind) for _ in range(2)]
        product = torch.empty_like(factors[0])
        fastest = _fastest(lambda: torch.mm(*factors, out=product), device, budget)
        source = torch.ones(numbers, device=device)
        target = torch.ones_like(source)
        copied = _fastest(lambda: target.copy_(source), device, budget)
    return Machine(2 * rows**3 / fastest, 2 * source.nbytes / copied)


def _fastest(call: Callable[[], object], device: str, budget: float) -> float:
    """Seconds of the fastest of several calls, however short the budget: the first ones also pay for memory."""
    call()
    return min(timed(call, device, 3, max(budget, _LEAST)).seconds)


def pass_work(method: Method, read: Callable[[], object], inputs: Tensor) -> Work:
    """Count a test pass."""
    moved, flops = counted(read, [inputs, *method.parameters(), *method.buffers()])
    return Work(flops, moved)


def step_work(method: Method, schedules: list[Schedule], batch: Batch) -> Work:
    """Count a training step, and take it."""
    held = [*method.parameters(), *method.buffers()]
    moved, flops = counted(lambda: backward(method, schedules, batch, 1), [batch.features, *held, *held])
    update(schedules)
    trained = [p for p in method.parameters() if p.grad is not None]
    states = [x for schedule in schedules for x in tree_leaves(schedule.optimizer.state_dict()["state"])]
    return Work(flops, moved + 2 * _bytes([*trained, *(x for x in states if isinstance(x, Tensor))]))


def counted(compute: Callable[[], object], held: Iterable[Tensor] = ()) -> tuple[int, int]:
    """Return the bytes that operators move, and FLOPs, of a computation.

    What operators make is written and read; what is `held` before is read, if any operator takes it, as often as it is
    named.
    """
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as flops, _Operators() as operators:
        compute()
    read = (x for x in held if _memory(x) in operators.taken)
    return 2 * operators.made + _bytes(read), int(flops.get_total_flops())


class _Operators(TorchDispatchMode):
    """Bytes of the tensors that operators make (a view, or what is written in place, is none); memory they take."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made = 0
        self.taken: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        taken = {_memory(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        self.made += _bytes(x for x in tree_leaves(result) if isinstance(x, Tensor) and _memory(x) not in taken)
        if func is not torch.ops.aten.embedding.default:
            self.taken |= taken
        return result


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(x.nbytes for x in tensors)


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
