"""What is read ahead comes in order, with its errors, and no more than a few things wait."""

from __future__ import annotations

import threading
import time

import pytest

from harness.io.ahead import MOST, read_ahead


def test_outcomes_come_in_order_and_errors_with_the_thing_that_had_them() -> None:
    def read(thing: int) -> int:
        time.sleep(0.001 * (thing % 3))
        if thing == 4:
            raise ValueError("damaged")
        return thing * thing

    found = list(read_ahead(read, range(6)))
    assert [each.result() for each in found[:4]] == [0, 1, 4, 9]
    with pytest.raises(ValueError, match="damaged"):
        found[4].result()
    assert found[5].result() == 25
    assert list(read_ahead(read, [])) == []


def test_no_more_is_read_than_was_asked_for() -> None:
    begun: list[int] = []
    outcomes = read_ahead(lambda thing: begun.append(thing), range(100))
    next(outcomes).result()
    outcomes.close()
    assert len(begun) <= MOST


def test_reading_goes_on_while_something_is_in_use() -> None:
    second = threading.Event()
    outcomes = read_ahead(lambda thing: second.set() if thing == 1 else None, range(2))
    next(outcomes).result()
    assert second.wait(10)
    outcomes.close()
