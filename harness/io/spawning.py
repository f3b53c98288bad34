"""Processes of ours that start without the script that started us."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Keep processes that start meanwhile from running the user's script or notebook again.

    Python imports the main module anew in every process that it spawns. Ours need nothing of it, and a script that
    calls `harness.run` at its top level would call it in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
