"""All that the author of a method needs: the contract, its data types and the card, from one stable place.

In comes a batch of features, out go losses and scores; `harness.plugin` says in which types. Names are imported when
they are first asked for, so that a card can be read without torch. Imports only the text tower and errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.plugin.card import MethodCard
    from harness.plugin.config import Range
    from harness.plugin.method import (
        Batch,
        Looks,
        Method,
        MethodConfig,
        Prediction,
        Reading,
        Sampling,
        Schedule,
        Size,
        Task,
        TrainingPlan,
        TrainingVideo,
    )
    from harness.text.tower import TextTower

__all__ = [
    "Batch",
    "Looks",
    "Method",
    "MethodCard",
    "MethodConfig",
    "Prediction",
    "Range",
    "Reading",
    "Sampling",
    "Schedule",
    "Size",
    "Task",
    "TextTower",
    "TrainingPlan",
    "TrainingVideo",
]

# The modules that hold the names; all others are in `harness.plugin.method`, which takes torch.
_HOMES = {
    "MethodCard": "harness.plugin.card",
    "MethodConfig": "harness.plugin.config",
    "Range": "harness.plugin.config",
    "TextTower": "harness.text.tower",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "harness.plugin.method")), name)
