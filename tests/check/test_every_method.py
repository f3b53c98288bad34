"""Every registered method passes the shared check."""

from __future__ import annotations

import pytest

from harness.check import check_method
from harness.registry import method_names

# 20,000 snippets take a minute where attention is global; `harness check-method NAME` does that, in 2 GB. What grows
# with the square of the length is found as soon: a tenth of the length's third, a sixth of the memory.
SHORT = {"snippets": 2_000, "memory": 320 << 20}
# Without a preset that is fast, its windows are those of the paper; no check asks how long a window is.
SMALL = {"desc": {"visual_length": 64}}


@pytest.mark.slow
@pytest.mark.parametrize("name", method_names())
def test_every_registered_method_passes(name: str) -> None:
    check_method(name, overrides=SMALL.get(name, {}), **SHORT)
