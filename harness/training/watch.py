"""What the steps of a training came to: their loss terms, and whether all of it stayed finite.

To read a number, the host waits for all that an accelerator has still to do. There numbers of several steps are kept on
the device and read together. From the first step that was not finite on, the weights stay as they were before it: the
step can be computed again to say what was wrong, and no NaN goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.plugin.method import Schedule

# Steps whose numbers an accelerator gives at once.
READ_EVERY = 50


@dataclass(frozen=True)
class Step:
    """What a step came to: its number from 1, its loss terms by name, their sum, and the norm of its gradient."""

    number: int
    terms: Mapping[str, float]
    loss: float
    norm: float

    @property
    def finite(self) -> bool:
        """Whether the step may have moved the weights."""
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class Watch:
    """The steps of a training that nobody has read yet."""

    def __init__(self, schedules: Sequence[Schedule], device: str) -> None:
        """On the CPU, and where an optimizer cannot leave a step out, every step is read at once."""
        kind = torch.device(device).type
        self.deferred = kind != "cpu" and all(_can_leave_out(schedule.optimizer) for schedule in schedules)
        # 1 as soon as a step was not finite; a float on the device, as optimizers ask for it.
        self.stopped = torch.zeros((), device=device) if self.deferred else None
        self._held: list[tuple[int, list[str], Tensor]] = []

    def after(self, step: int, terms: Mapping[str, Tensor], loss: Tensor, norm: Tensor) -> None:
        """Take in a step before it moves the weights."""
        row = torch.stack([*terms.values(), loss, norm]).detach()
        if self.stopped is not None:
            self.stopped = torch.maximum(self.stopped, (~row.isfinite()).any().to(self.stopped))
        self._held.append((step, list(terms), row))

    @property
    def due(self) -> bool:
        """Whether it is time to read."""
        return not self.deferred or len(self._held) >= READ_EVERY

    def read(self) -> list[Step]:
        """Return the steps since the last reading, up to the first that was not finite; waits for the device."""
        held, self._held = self._held, []
        values = torch.cat([row for _, _, row in held]).tolist() if held else []
        steps = []
        for step, names, row in held:
            *terms, loss, norm = values[: len(row)]
            del values[: len(row)]
            steps.append(Step(step, dict(zip(names, terms, strict=True)), loss, norm))
            if not steps[-1].finite:
                break
        return steps


def _can_leave_out(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer heeds `found_inf`, as torch's fused ones do for `torch.amp.GradScaler`."""
    return any(getattr(optimizer, name, False) for name in ("leaves_out", "_step_supports_amp_scaling"))
