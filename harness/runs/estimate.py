"""How long a run will take, from those that are finished."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path

from harness.errors import UserError
from harness.records.result import RunResult
from harness.records.run_directory import open_run
from harness.records.spec import RunSpec


class Estimates:
    """Wall seconds of the finished runs below a directory."""

    def __init__(self, out: Path) -> None:
        self._seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for path in out.glob("*/run.json"):
            try:
                result = open_run(path.parent).result
            except UserError:  # damaged, or another version's; it says nothing about ours
                continue
            if result.spec is not None and result.cost is not None and not result.spec.checkpoint:
                self.add(result)

    def add(self, result: RunResult) -> None:
        """Learn from a finished run."""
        if result.spec is None or result.cost is None:
            return
        cost = result.cost
        seconds = cost.wall_seconds or cost.train_seconds + cost.predict_seconds
        for key in _keys(result.spec):
            self._seconds[key].append(seconds)

    def seconds(self, spec: RunSpec) -> float | None:
        """Median of the most similar runs: same config, else same preset, both on the same features; None if none."""
        for key in _keys(spec):
            if key in self._seconds:
                return statistics.median(self._seconds[key])
        return None


def _keys(spec: RunSpec) -> tuple[tuple[str, ...], ...]:
    place = (spec.method, spec.dataset, spec.features, spec.device, "test" if spec.source else "training")
    config = repr(sorted(spec.config.items()))
    return (*place, spec.selection, config), (*place, spec.selection, spec.preset), (*place, spec.preset)
