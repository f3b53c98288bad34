"""Benchmark and evaluation harness for weakly supervised video anomaly detection.

The names below are the public Python API; what they need is imported when they are first used. Everything that the
author of a method needs is in `harness.plugin`, metrics on plain arrays are in `harness.metrics`. All else may change
from one version to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import metrics
    from harness.api.checkpoints import Model, load_checkpoint
    from harness.api.compare import Comparison, compare
    from harness.api.run import Leaderboard, run
    from harness.api.runs import Run, Runs, load_runs
    from harness.api.score import Score, score
    from harness.errors import HarnessError, UserError
    from harness.version import __version__ as __version__

# The modules that hold the public names.
_HOMES = {
    "Comparison": "harness.api.compare",
    "HarnessError": "harness.errors",
    "Leaderboard": "harness.api.run",
    "Model": "harness.api.checkpoints",
    "Run": "harness.api.runs",
    "Runs": "harness.api.runs",
    "Score": "harness.api.score",
    "UserError": "harness.errors",
    "__version__": "harness.version",
    "compare": "harness.api.compare",
    "load_checkpoint": "harness.api.checkpoints",
    "load_runs": "harness.api.runs",
    "run": "harness.api.run",
    "score": "harness.api.score",
}

__all__ = [
    "Comparison",
    "HarnessError",
    "Leaderboard",
    "Model",
    "Run",
    "Runs",
    "Score",
    "UserError",
    "compare",
    "load_checkpoint",
    "load_runs",
    "metrics",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "metrics":
        return importlib.import_module("harness.metrics")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
