"""How many seeds would settle a difference that was measured."""

from __future__ import annotations

from dataclasses import replace

from harness.metrics.variance import Estimate

# More than this many trainings of one method nobody makes.
MOST = 1000


def seeds_needed(found: Estimate, seeds: int, power: float = 0.8) -> int | None:
    """Return with how many seeds of each method a difference as large as the one found is seen at 5%.

    Seen in `power` of all repetitions, if the spreads are what they were measured to be. Never fewer than `seeds`; None
    where more than `MOST` would be needed: then it is the test videos that are too few.

    Args:
        found: the difference of two methods.
        seeds: how many seeds of each it comes from, at least two.
    """
    if not found.value:
        return None
    few, many = seeds, MOST
    if not _seen(found, seeds, many, power):
        return None
    while few < many:
        middle = (few + many) // 2
        if _seen(found, seeds, middle, power):
            many = middle
        else:
            few = middle + 1
    return many


def _seen(found: Estimate, seeds: int, planned: int, power: float) -> bool:
    from scipy.special import ndtri

    share = seeds / planned
    expected = replace(
        found,
        videos=max(found.videos - found.shared, 0.0) + found.shared * share,
        seeds=found.seeds * share,
        shared=found.shared * share,
        seed_freedom=found.seed_freedom * (planned - 1) / (seeds - 1),
    )
    return abs(found.value) >= (expected.reach(0.95) + float(ndtri(power))) * expected.deviation
