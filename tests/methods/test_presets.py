"""What steadies the short schedules stays out of the official ones."""

from __future__ import annotations

import pytest

from harness.registry import method_class, method_names

STEADY = ("average_last", "warmup_steps")
TRAINED = [name for name in method_names() if method_class(name).card.training == "gradient"]


@pytest.mark.parametrize("name", method_names())
def test_official_schedules_neither_warm_up_nor_average(name: str) -> None:
    cls = method_class(name)
    for family in ("", *cls.defaults):
        config = cls.configure(family, "paper", {})
        assert [getattr(config, setting) for setting in STEADY] == [0.0, 0]
        assert getattr(config, "norm_noise", 0.0) == 0.0


@pytest.mark.parametrize("name", TRAINED)
def test_short_schedules_do_both(name: str) -> None:
    config = method_class(name).configure("", "fast", {})
    assert all(getattr(config, setting) > 0 for setting in STEADY)
