"""What every method must do, as `harness check-method topk-mil` asks it."""

import pytest

from harness.check import CHECKS, check_method


@pytest.mark.parametrize("check", CHECKS)
def test_shared_check(check: str) -> None:
    check_method("topk-mil", [check])
