"""Two benchmarks of one machine side by side: what became slower."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from harness.errors import UserError
from harness.io.atomic import read_json
from harness.report.throughput.board import noise

# Figures of a row, and whether more is better.
_FIGURES = {
    "frames_per_second": True,
    "best_frames_per_second": True,
    "latency_ms.p50": False,
    "long_latency_ms.p50": False,
    "step_seconds": False,
    "peak_memory_mb": False,
    "flops": False,
}
_SAME = ("preset", "text_tower", "device", "precision", "threads", "dim")
_MACHINE = ("processor", "gpu", "cores")


class _Row(BaseModel):
    method: str
    spread: float = Field(0, ge=0, allow_inf_nan=False)


class _Document(BaseModel):
    machine: dict[str, Any] = {}
    rows: list[_Row]


@dataclass(frozen=True)
class Change:
    """One figure of one method; `ratio` above 1 is better than before."""

    method: str
    figure: str
    before: float
    after: float
    ratio: float
    slower: bool

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def read(path: Path) -> dict[str, Any]:
    """Return a benchmark's document.

    Raises:
        UserError: the file is missing or not one of `harness bench`.
    """
    value = read_json(path)
    try:
        _Document.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise UserError(f"{path}: not a document of harness bench (field {where}: {first['msg']})") from error
    return dict(value)


def changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    figures: Mapping[str, bool] = _FIGURES,
    same: Sequence[str] = _SAME,
    machine: Sequence[str] = _MACHINE,
) -> list[Change]:
    """Return what changed of every method that both measured in the same way.

    A figure is slower if it is worse by more than the noise and by more than the spread of either measurement. Those
    of `harness bench` are compared unless others are named: `figures` (whether more is better), what rows must have the
    `same`, and facts of the `machine` that must agree.

    Raises:
        UserError: the two come from different machines, or share no method.
    """
    for name in machine:
        one, two = (document.get("machine", {}).get(name) for document in (before, after))
        if one != two:
            raise UserError(f"the benchmarks come from different machines ({name}: {one} and {two})")
    earlier = {row["method"]: row for row in before["rows"]}
    found = []
    for row in after["rows"]:
        other = earlier.get(row["method"])
        if other is None or any(other.get(name) != row.get(name) for name in same):
            continue
        apart = noise(other.get("spread", 0), row.get("spread", 0))
        for figure, more in figures.items():
            one, two = _figure(other, figure), _figure(row, figure)
            if not one or not two:
                continue
            ratio = two / one if more else one / two
            found.append(Change(row["method"], figure, one, two, ratio, slower=ratio < 1 / (1 + apart)))
    if not found:
        raise UserError(
            "the benchmarks share no method measured with the same preset, width, device, precision and threads"
        )
    return found


def _figure(row: dict[str, Any], name: str) -> float | None:
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return float(value) if isinstance(value, (int, float)) and 0 < value < math.inf else None
