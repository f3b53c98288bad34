"""Is one method ahead of another on the same test videos? Paired resampling and permutation over videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import multiplicities, resampled
from harness.metrics.frame import Floats, Ints, SnippetTable

_TINY = 1e-12


@dataclass(frozen=True)
class Difference:
    """A metric of A minus that of B (means over seeds), in fractions.

    `low`, `high`: 95% interval over resampled test videos, the same resamples for both. `p_value`: two-sided, of
    exchanging A's and B's scores video by video. `ahead`: share of the resamples in which A leads, ties half.
    """

    value: float
    low: float
    high: float
    p_value: float
    ahead: float


def differences(
    a: Sequence[SnippetTable],
    b: Sequence[SnippetTable],
    normal: NDArray[np.bool_],
    resamples: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Return the differences in `frame_auc` and `frame_ap`; a metric undefined on these videos is left out.

    Args:
        a, b: one table per seed, all of the same test videos. Under the permutation the i-th table of one meets the
            i-th of the other; a shorter list starts over.
        normal: `[videos]`, True for normal videos, in the ground truth's order.
    """
    everything = np.ones((1, len(normal)), dtype=np.int64)
    draws = multiplicities(normal, resamples, seed)
    exchanges = np.random.default_rng(seed + 1).integers(0, 2, (permutations, len(normal)))
    value, spread = (_minus(_means(a, rows), _means(b, rows)) for rows in (everything, draws))
    chance = _exchanged(a, b, exchanges)
    found = {}
    for name in value:
        observed, drawn = float(value[name][0]), spread[name][np.isfinite(spread[name])]
        if np.isfinite(observed) and len(drawn):
            low, high = np.quantile(drawn, [0.025, 0.975])
            extreme = np.abs(chance[name]) >= abs(observed) - _TINY
            found[name] = Difference(
                value=observed,
                low=float(low),
                high=float(high),
                p_value=float((1 + extreme.sum()) / (1 + permutations)),
                ahead=float(np.mean((drawn > _TINY) + 0.5 * (np.abs(drawn) <= _TINY))),
            )
    return found


def deciding_videos(
    a: Sequence[SnippetTable], b: Sequence[SnippetTable], videos: int, metric: str = "frame_auc"
) -> tuple[int | None, Ints]:
    """Return how few videos, left out, take the lead in `metric` away (None: no such few), and their indices.

    Videos are left out in the order of their own influence on the difference, so the count is an upper bound.
    """
    whole = float(_difference(a, b, np.ones((1, videos), dtype=np.int64), metric)[0])
    alone = _difference(a, b, 1 - np.eye(videos, dtype=np.int64), metric)
    # What the lead loses without the video; a video without which nothing is defined decides nothing.
    influence = np.nan_to_num((whole - alone) * np.sign(whole), nan=-np.inf)
    order = np.argsort(-influence, kind="stable")
    kept = np.ones((videos, videos), dtype=np.int64)
    kept[:, order] = np.triu(kept, k=1)
    remaining = _difference(a, b, kept, metric) * np.sign(whole)
    lost = np.flatnonzero(remaining <= 0)
    return (None, order[:0]) if not len(lost) or whole == 0 else (int(lost[0]) + 1, order[: lost[0] + 1])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm 1979), in the same order."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    raised = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = raised
    return [float(value) for value in corrected]


def _means(tables: Sequence[SnippetTable], draws: Ints) -> dict[str, Floats]:
    values = [resampled(table, draws) for table in tables]
    return {name: np.mean([value[name] for value in values], axis=0) for name in values[0]}


def _minus(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: a[name] - b[name] for name in a}


def _difference(a: Sequence[SnippetTable], b: Sequence[SnippetTable], draws: Ints, metric: str) -> Floats:
    return _means(a, draws)[metric] - _means(b, draws)[metric]


def _exchanged(a: Sequence[SnippetTable], b: Sequence[SnippetTable], exchanges: Ints) -> dict[str, Floats]:
    """Differences `[permutations]` after exchanging the two methods' scores of the videos where `exchanges` is 1."""
    pairs = max(len(a), len(b))
    total: dict[str, Floats] = {}
    for index in range(pairs):
        one, other = a[index % len(a)], b[index % len(b)]
        videos = exchanges.shape[1]
        # Scores of two methods have no common scale; their ranks have, and no metric here notices.
        both = SnippetTable(
            np.concatenate([_ranks(one), _ranks(other)]),
            np.concatenate([one.positives, other.positives]),
            np.concatenate([one.negatives, other.negatives]),
            np.concatenate([one.video, other.video + videos]),
        )
        forth, back = np.hstack([1 - exchanges, exchanges]), np.hstack([exchanges, 1 - exchanges])
        mixed = _minus(resampled(both, forth), resampled(both, back))
        total = {name: total.get(name, 0) + values / pairs for name, values in mixed.items()}
    return total


def _ranks(table: SnippetTable) -> Floats:
    """Mean frame rank of each snippet's score `[N]`, equal scores sharing theirs, as a share of all frames."""
    frames = table.positives + table.negatives
    _, group = np.unique(table.scores, return_inverse=True)
    weight = np.bincount(group, frames)
    below = np.cumsum(weight) - weight
    return np.asarray((below + weight / 2)[group] / max(frames.sum(), 1))
