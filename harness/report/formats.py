"""The forms of a report."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError

FORMATS = ("html", "md", "csv", "json", "tex")


def check_formats(formats: Sequence[str]) -> None:
    """Raise UserError unless every format is known and there is one."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"--formats {','.join(formats)!r}: expected some of {', '.join(FORMATS)}")
