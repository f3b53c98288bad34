"""A text tower that is built when it is used: building takes seconds, planning asks for its name and sizes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.text.embedded import EMBEDDED_SIZES, embedded_name
from harness.text.tower import TextTower


class PlannedTower:
    """The embedded tower before it is built; whatever is asked beyond name and sizes is asked of what `build` gives."""

    def __init__(self, build: Callable[[], TextTower]) -> None:
        self._build = build
        self.name = embedded_name()
        vars(self).update(EMBEDDED_SIZES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._build(), name)
