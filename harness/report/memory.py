"""Costly statistics of recorded runs, computed once: a recorded run never changes, its MLflow id stands for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.files import digest, file_digest, read_json, write_json
from harness.track import TrackedRun


def remembered(
    cache: Path | None, code: Iterable[ModuleType], runs: Sequence[TrackedRun], compute: Callable[[], Any]
) -> Any:
    """Return what `compute` returned for these runs and this code, in JSON's types; computed if not yet in `cache`.

    Args:
        cache: a directory of its own for each kind of statistic; None: always compute.
        code: the modules whose text decides the result.
    """
    if cache is None:
        return compute()
    parts = [file_digest(Path(str(module.__file__))) for module in code]
    path = cache / f"{digest(*parts, *(run.mlflow_id for run in runs))[:32]}.json"
    if not path.is_file():
        write_json(path, compute())
    return read_json(path)
