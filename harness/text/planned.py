"""What planning needs of a text tower: its name and sizes. Building one takes seconds that a finished run must not."""

from __future__ import annotations

from typing import Any, cast

from harness.text.embedded import EMBEDDED_SIZES, embedded_name
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower


class _Planned:
    """The embedded tower before it is built; whatever is asked of it beyond name and sizes builds it."""

    def __init__(self) -> None:
        self.name = embedded_name()
        vars(self).update(EMBEDDED_SIZES)

    def __getattr__(self, name: str) -> Any:
        vars(self)["built"] = built = vars(self).get("built") or load_text_tower(None)
        return getattr(built, name)


def planned_text_tower(source: str | None) -> TextTower:
    """Return the text tower that `load_text_tower` returns, which for the embedded one is built when it is used.

    Raises what that raises.
    """
    return load_text_tower(source) if source is not None else cast(TextTower, _Planned())
