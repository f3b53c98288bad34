"""How a check says what it found, and what it compares with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness.plugin.method import Prediction


class Failed(Exception):
    """The method does not do what the check asks; the text says what it does."""


class Skipped(Exception):
    """The check does not apply, or cannot be made here; the text says why."""


def require(holds: bool, otherwise: str) -> None:
    """Raise `Failed` with the text `otherwise` unless it `holds`."""
    if not holds:
        raise Failed(otherwise)


def difference(ours: Tensor, other: Tensor) -> float:
    """Largest difference relative to the largest value of `ours`; NaN counts as infinite."""
    error = (ours - other).abs().max() / ours.abs().max().clamp_min(1e-12)
    return float(error.nan_to_num(nan=torch.inf))


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    """Whether both hold the same names and bits."""
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def same_predictions(one: Prediction, two: Prediction) -> bool:
    """Whether both hold the same bits."""
    return same(*({name: value for name, value in vars(p).items() if value is not None} for p in (one, two)))


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, as text."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
