"""Lines of a run's log: each begins with the local time."""

from __future__ import annotations

import time

_STAMP, _LENGTH = "%Y-%m-%d %H:%M:%S", 19


def stamped(text: str) -> str:
    """Return a line of a log that is written now."""
    return f"{time.strftime(_STAMP)} {text}\n"


def moment_of(line: str) -> int:
    """Return when a line was written, in milliseconds since 1970.

    Raises:
        ValueError, OverflowError: it begins with no time.
    """
    return int(1000 * time.mktime(time.strptime(line[:_LENGTH], _STAMP)))
