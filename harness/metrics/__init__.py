"""Metrics of predictions against ground truth; the only place that sees test labels.

In come predictions and ground truth, out go numbers with their uncertainty. Imports records alone. For arrays that did
not come from a run there are `frame_auc`, `frame_ap`, `map_at_iou` and `bootstrap_interval`, imported when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.metrics.arrays import bootstrap_interval, frame_ap, frame_auc, map_at_iou

__all__ = ["bootstrap_interval", "frame_ap", "frame_auc", "map_at_iou"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness.metrics import arrays

    return getattr(arrays, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
