"""Repeated timing: warm-up first, device synchronised, medians with their spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated calls, warm-up left out."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median in seconds."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles as a share of the median."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float((high - low) / 2 / self.median)

    def percentile(self, share: float) -> float:
        """The time that this share of the calls keeps, in seconds."""
        return float(np.quantile(self.seconds, share))


def timed(call: Callable[[], object], device: str, least: int, budget: float) -> Timing:
    """Time `call` at least `least` times, and on until `budget` seconds are spent or 20 times as many are done.

    One call before that warms up; where it alone exceeds the budget, it is what is reported.
    """
    first = _once(call, device)
    if first > budget:
        return Timing((first,))
    seconds: list[float] = []
    while len(seconds) < least or (sum(seconds) < budget and len(seconds) < 20 * least):
        seconds.append(_once(call, device))
    return Timing(tuple(seconds))


def _once(call: Callable[[], object], device: str) -> float:
    _synchronise(device)
    start = time.perf_counter()
    call()
    _synchronise(device)
    return time.perf_counter() - start


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
