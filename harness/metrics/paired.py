"""Is one method ahead of another on the same test videos? Paired resampling and permutation over videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import parts, percentiles, plan, resampled
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
    methods: Mapping[str, Sequence[SnippetTable]],
    normal: NDArray[np.bool_],
    resamples: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], dict[str, Difference]]:
    """Return, for every pair of methods, the differences in `frame_auc` and `frame_ap` that are defined.

    Args:
        methods: one table per seed for each method, all of the same test videos. Under the permutation the i-th table
            of one meets the i-th of the other; a shorter list starts over.
        normal: `[videos]`, True for normal videos, in the ground truth's order.
    """
    # Without a permutation every p-value is 1: nothing was tested.
    draws = plan(normal, resamples, seed)
    exchanges = np.random.default_rng(seed + 1).integers(0, 2, (permutations, len(normal)))
    means = {name: _means(tables, draws) for name, tables in methods.items()}
    found: dict[tuple[str, str], dict[str, Difference]] = {}
    for a, b in combinations(methods, 2):
        chance = _exchanged(methods[a], methods[b], exchanges)
        spread = _minus(means[a], means[b])
        found[a, b] = {
            name: _difference_of(values, chance[name], normal)
            for name, values in spread.items()
            if np.isfinite(values[0])
        }
    return found


def _difference_of(spread: Floats, chance: Floats, normal: NDArray[np.bool_]) -> Difference:
    """From the differences on a `plan` and those under exchange."""
    value, without, drawn = parts(spread, len(normal))
    low, high = percentiles(drawn, without, normal)
    extreme = np.abs(chance) >= abs(value) - _TINY
    return Difference(
        value=value,
        low=low,
        high=high,
        p_value=float((1 + extreme.sum()) / (1 + len(chance))),
        ahead=float(np.mean((drawn > _TINY) + 0.5 * (np.abs(drawn) <= _TINY))),
    )


def influences(a: Sequence[SnippetTable], b: Sequence[SnippetTable], videos: int, metric: str = "frame_auc") -> Floats:
    """Return how much each video `[videos]` adds to A's lead over B: the difference minus that without the video.

    Zero for a video without which the metric is undefined.
    """
    whole = _lead(a, b, np.ones((1, videos), dtype=np.int64), metric)
    return np.nan_to_num(whole - _lead(a, b, 1 - np.eye(videos, dtype=np.int64), metric))


def deciding_videos(
    a: Sequence[SnippetTable], b: Sequence[SnippetTable], videos: int, metric: str = "frame_auc"
) -> Ints | None:
    """Return the indices of few videos without which the lead in `metric` is gone; None where there is no lead.

    Videos are left out in the order of their own influence, so fewer may suffice.
    """
    whole = float(_lead(a, b, np.ones((1, videos), dtype=np.int64), metric)[0])
    if not abs(whole) > _TINY:
        return None
    order = np.argsort(-influences(a, b, videos, metric) * np.sign(whole), kind="stable")
    kept = np.zeros((videos, videos), dtype=np.int64)
    # Row k keeps all but the k + 1 most influential videos.
    kept[:, order] = np.triu(np.ones((videos, videos), dtype=np.int64), k=1)
    lost = np.flatnonzero(_lead(a, b, kept, metric) * np.sign(whole) <= _TINY)
    return order[: lost[0] + 1] if len(lost) else None


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


def _lead(a: Sequence[SnippetTable], b: Sequence[SnippetTable], draws: Ints, metric: str) -> Floats:
    return _means(a, draws)[metric] - _means(b, draws)[metric]


def _exchanged(a: Sequence[SnippetTable], b: Sequence[SnippetTable], exchanges: Ints) -> dict[str, Floats]:
    """Differences `[permutations]` after exchanging the two methods' scores of the videos where `exchanges` is 1."""
    pairs = max(len(a), len(b))
    if not len(exchanges):
        return {name: np.zeros(0) for name in ("frame_auc", "frame_ap")}
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
