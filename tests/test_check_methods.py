"""The shared check passes: run here for one method of each kind, on record for all that ship.

The record holds for a method's present code (`tests/test_checked.py`). HARNESS_SCALE=1 checks every method here, which
takes some minutes.
"""

from __future__ import annotations

import os

import pytest

from harness.check import check_method
from harness.registry import method_names

# 20,000 snippets take a minute where attention is global; `harness check-method NAME` does that, in the same memory.
SHORT = {"snippets": 5_000, "memory": 2 << 30}
# By gradient with crops and without, with text, in closed form, without training.
KINDS = ("bnwvad", "deepmil", "mgfn", "vadclip", "linear-probe", "clip-zeroshot", "random")


@pytest.mark.parametrize("name", method_names() if os.environ.get("HARNESS_SCALE") else KINDS)
def test_a_method_passes(name: str) -> None:
    check_method(name, **SHORT)
