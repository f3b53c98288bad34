"""Throughput boards from benchmarks: the newest measurement of each method, and ranks where noise does not decide."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from harness.errors import UserError
from harness.report.throughput.board import SpeedBoard, SpeedRow, noise
from harness.tracking.benchmarks import Benchmark

_VERSIONS = ("harness", "git_commit", "torch", "python", "platform")


class _Key(NamedTuple):
    """What the rows of one board share, with the names of `SpeedBoard`."""

    hardware: str
    cores: str
    device: str
    precision: str
    threads: int
    dataset: str
    features: str
    dim: int
    preset: str


def build_throughput(benchmarks: Sequence[Benchmark]) -> tuple[SpeedBoard, ...]:
    """Return the boards of `benchmarks`; of a method that was measured twice in the same way the newest counts."""
    groups: dict[_Key, dict[tuple[str, ...], SpeedRow]] = defaultdict(dict)
    for each in sorted(benchmarks, key=lambda each: each.started):
        found = each.figures
        settings = json.dumps(found.settings, sort_keys=True)
        groups[_key(each)][found.method, found.text_tower, settings] = _row(each)
    return tuple(_board(key, list(groups[key].values())) for key in sorted(groups))


def _key(each: Benchmark) -> _Key:
    found = each.figures
    on_gpu = found.device == "cuda"
    return _Key(
        hardware=each.machine.get("gpu" if on_gpu else "processor", ""),
        cores="" if on_gpu else each.machine.get("cores", ""),
        device=found.device,
        precision=found.precision,
        threads=found.threads,
        dataset=each.dataset,
        features=each.features,
        dim=found.dim,
        preset=found.preset,
    )


def _row(each: Benchmark) -> SpeedRow:
    versions = {part: each.machine[part] for part in _VERSIONS if each.machine.get(part)}
    title, family = _names(each.figures.method)
    return SpeedRow(each.figures.method, title, family, each.figures, versions, each.time, each.source)


def _names(method: str) -> tuple[str, str]:
    """Title and family; a method of another installation has only its name."""
    from harness.registry import method_class

    try:
        card = method_class(method).card
    except (KeyError, UserError):
        return method, ""
    return card.title, card.family


def _board(key: _Key, rows: list[SpeedRow]) -> SpeedBoard:
    rows.sort(key=lambda row: (-row.figures.frames_per_second, row.method, row.time))
    cautions = []
    if not key.hardware:
        cautions.append("The hardware has no name, so nothing is known to be comparable and there are no ranks.")
    else:
        ranks = _ranks(rows)
        rows = [replace(row, rank=rank, shared=ranks.count(rank) > 1) for row, rank in zip(rows, ranks, strict=True)]
    for part in ("torch", "harness"):
        versions = sorted({row.versions[part] for row in rows if part in row.versions})
        if len(versions) > 1:
            cautions.append(f"Measured with different versions of {part}: {', '.join(versions)}.")
    return SpeedBoard(*key, rows=tuple(rows), cautions=tuple(cautions))


def _ranks(rows: Sequence[SpeedRow]) -> list[int]:
    """A group starts with its fastest row and takes in the next ones until one is slower by more than noise."""
    found: list[int] = []
    while len(found) < len(rows):
        best, *rest = (row.figures for row in rows[len(found) :])
        same = next(
            (
                index
                for index, row in enumerate(rest)
                if best.frames_per_second > row.frames_per_second * (1 + noise(best.spread, row.spread))
            ),
            len(rest),
        )
        found += [len(found) + 1] * (same + 1)
    return found
