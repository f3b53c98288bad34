"""Memory that a process frees and soon asks for again: kept, instead of handed to the kernel and back.

A training step asks for the same large tensors as the one before. The C library gives them back to the kernel one by
one, which has to clear every page of them for the next step: up to a third of a step's time on a CPU. What is computed
does not change; memory is held for longer.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Names of mallopt(3): how many blocks may be mapped by themselves, and how much free memory the heap may end with.
_MMAP_MAX, _TRIM_THRESHOLD, _UNLIMITED = -4, -1, -1


def keep_freed() -> None:
    """Let this process keep what it frees, until `give_back`; does nothing where its C library is not GNU's."""
    library = _gnu()
    if library is not None:
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, _UNLIMITED)


def give_back() -> None:
    """Give to the kernel what this process has kept and does not use now."""
    library = _gnu()
    if library is not None:
        library.malloc_trim(0)


def _gnu() -> Any:
    """The C library of this process if it is GNU's, else None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
