"""Seeds by named axis, so that all methods meet the same sampling at the same seed."""

from __future__ import annotations

import hashlib
from typing import Literal

Axis = Literal["init", "sampling", "dropout", "noise", "validation", "disturbance"]


def derive(seed: int, dataset: str, axis: Axis, *parts: int | str) -> int:
    """Return a 63-bit seed for one axis of randomness of a run.

    It depends on (seed, dataset, axis, parts) and not on the method, so comparisons pair.
    `parts` names a sub-stream, for example an epoch.
    """
    text = "\x1f".join([str(seed), dataset, axis, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
