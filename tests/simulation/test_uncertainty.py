"""The simulation in small: what `docs/statistics.md` says of many repetitions, with the room that few leave."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from tests.simulation.uncertainty import simulate

REPETITIONS = 60


@pytest.mark.slow
def test_equal_methods_are_rarely_called_different_and_intervals_hold() -> None:
    for (_, spread), cell in simulate(REPETITIONS, seed=1, seeds=(3,), spreads=(1.0, 5.0)).items():
        # More than the limit of 6% only as often as 1 in 1,000 such trials would.
        most = binom.ppf(0.999, REPETITIONS, 0.06)
        assert cell.paired <= most
        assert cell.unpaired <= most
        assert cell.held >= REPETITIONS - binom.ppf(0.999, REPETITIONS, 0.07)
        # What ignoring the seeds would have called: shows that this trial can fail.
        assert cell.videos_only > most or spread < 5
        assert cell.seen > cell.unpaired
