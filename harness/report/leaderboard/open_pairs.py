"""What would settle the pairs at the top of a board that cannot be told apart, in words."""

from __future__ import annotations

from harness.metrics.power import MOST
from harness.report.figures import label, percent
from harness.report.leaderboard.board import OpenPair


def settled(pair: OpenPair, primary: str) -> str:
    """Return a sentence: how far apart two methods are, how sure that is, and how many seeds would tell them apart."""
    apart = (
        f"{pair.a} and {pair.b} are not told apart: {100 * pair.difference:+.2f} points of {label(primary)} "
        f"[{percent(pair.low)}, {percent(pair.high)}] with {pair.seeds} seeds each."
    )
    if not pair.difference:
        return apart
    if pair.needed is None:
        return f"{apart} No number of seeds up to {MOST:,} would show a difference of this size on these test videos."
    if pair.needed <= pair.seeds:
        return f"{apart} As many more would show a difference of this size in 4 of 5 repetitions."
    return (
        f"{apart} About {pair.needed - pair.seeds} more seeds each ({pair.needed} in all) would show a difference of "
        "this size in 4 of 5 repetitions."
    )
