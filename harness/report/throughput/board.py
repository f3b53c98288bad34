"""What a throughput board is: methods that were measured on the same hardware in the same way, the fastest first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from harness.records.benchmark import Bench

# What a repeated measurement of the same code changes by on a quiet machine.
NOISE = 0.1


def noise(*spreads: float) -> float:
    """Return by what share figures of these spreads may differ though nothing has changed."""
    return max(NOISE, *(2 * spread for spread in spreads))


@dataclass(frozen=True)
class SpeedRow:
    """One method's figures. `rank` counts from 1 by frames per second of single videos; rows that noise may have put
    in their order share it (`shared`), and where the hardware has no name there is none.

    `family` is "" for a method that is not installed here. `versions` are those of what computed, `time` is when, and
    `source` the store, "" where there is only one.
    """

    method: str
    title: str
    family: str
    figures: Bench
    versions: dict[str, str]
    time: str
    source: str = ""
    rank: int | None = None
    shared: bool = False

    @property
    def settings(self) -> str:
        """What was changed of the preset, "" for nothing."""
        return ", ".join(f"{name}={value}" for name, value in self.figures.settings.items())


@dataclass(frozen=True)
class SpeedBoard:
    """The rows that may be compared: same hardware, arithmetic, threads, data set, width of features and preset.

    `hardware` is the name of the GPU on the device "cuda", else that of the processor; "" where it is not known.
    `cores` are those of the processor that could be used, "" on a GPU.
    """

    hardware: str
    cores: str
    device: str
    precision: str
    threads: int
    dataset: str
    features: str
    dim: int
    preset: str
    rows: tuple[SpeedRow, ...]
    cautions: tuple[str, ...] = ()

    @property
    def machine(self) -> str:
        """The hardware in words, with what it computed with."""
        cores = f" ({self.cores} cores)" if self.cores else ""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.hardware or 'unnamed hardware'}{cores}, {self.device}, {self.precision}, {threads}"

    @property
    def subject(self) -> str:
        """What was read on it, in words."""
        return f"{self.dataset} · {self.features}, {self.dim}-d, preset {self.preset}"


def board_dict(board: SpeedBoard) -> dict[str, Any]:
    """Return a JSON-ready form of one board; the figures of a row are those of `harness bench --json`."""
    plain = {each.name: getattr(board, each.name) for each in fields(board) if each.name != "rows"}
    facts = [each.name for each in fields(SpeedRow) if each.name not in ("figures", "method")]
    rows = [{**row.figures.as_json(), **{name: getattr(row, name) for name in facts}} for row in board.rows]
    return {**plain, "cautions": list(board.cautions), "rows": rows}
