"""Is one method ahead of another on the same test videos? Chance in the videos, and between the seeds of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics import variance
from harness.metrics.bootstrap import parts, percentiles, plan, resampled
from harness.metrics.frame import Floats, Ints, SnippetTable
from harness.metrics.variance import Estimate, drawn

_TINY = 1e-12


# Of what a number speaks: of these weights, where a side has one set of predictions, or of the methods.
Scope = Literal["weights", "method"]


@dataclass(frozen=True)
class Difference:
    """A metric of A minus that of B (means over seeds), in fractions.

    `scope` "method": both sides have several seeds; `low`, `high` (95%), `p_value` and `ahead`, the probability that A
    leads, come from `variance.Estimate`, which counts chance between seeds as well as between test videos. "weights": a
    side is a single set of predictions, so nothing is known of its other seeds. Two single sets are compared over
    resampled test videos: `low` and `high` are percentiles, `ahead` is the share of the resamples in which A leads
    (ties half), `p_value` that of exchanging the scores video by video.

    `videos_low`, `videos_high`: the interval over test videos alone, the same resamples for both. `seeds` is the
    standard error of the difference by seeds alone, None where neither side has several.
    """

    value: float
    low: float
    high: float
    p_value: float
    ahead: float
    scope: Scope
    videos_low: float
    videos_high: float
    seeds: float | None = None


def differences(
    methods: Mapping[str, Sequence[SnippetTable]],
    normal: NDArray[np.bool_],
    resamples: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
    seeds: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[tuple[str, str], dict[str, Difference]]:
    """Return, for every pair of methods, the differences in `frame_auc` and `frame_ap` that are defined.

    Args:
        methods: one table per seed for each method, all of the same test videos.
        normal: `[videos]`, True for normal videos, in the ground truth's order.
        permutations: exchanges of two single sets of predictions.
        seeds: the seeds of each method's tables, where they are known; two methods with the same ones are paired.
    """
    draws = plan(normal, resamples, seed)
    exchanges = np.random.default_rng(seed + 1).integers(0, 2, (permutations, len(normal)))
    values = {name: drawn(tables, draws) for name, tables in methods.items()}
    known = seeds or {}
    found: dict[tuple[str, str], dict[str, Difference]] = {}
    for a, b in combinations(methods, 2):
        single = len(methods[a]) == len(methods[b]) == 1
        chance = _exchanged(methods[a][0], methods[b][0], exchanges) if single else {}
        same = paired(known.get(a, ()), known.get(b, ()))
        found[a, b] = {
            name: each
            for name in values[a]
            if (each := difference(values[a][name], values[b][name], normal, same, chance.get(name))) is not None
        }
    return found


def paired(a: Sequence[int], b: Sequence[int]) -> bool:
    """Return whether two methods ran with the same seeds: these meet the same sampling of training videos."""
    return 1 < len(a) == len(set(a)) and tuple(a) == tuple(b)


def difference(
    a: Floats, b: Floats, normal: NDArray[np.bool_], same_seeds: bool, chance: Floats | None = None
) -> Difference | None:
    """Return the difference of one metric; None where it is undefined.

    Args:
        a, b: `[sets, 1 + videos + resamples]`, the metric of each set of predictions on a `bootstrap.plan`.
        normal: `[videos]`, True for normal videos.
        same_seeds: the i-th set of A and of B had the same seed.
        chance: the difference of two single sets under exchange `[permutations]`; without one nothing is tested.
    """
    estimate = variance.difference(a, b, normal, same_seeds)
    if estimate is None:
        return None
    spread = a.mean(axis=0) - b.mean(axis=0)
    value, without, resamples = parts(spread, len(normal))
    videos = percentiles(resamples, without, normal)
    if len(a) == len(b) == 1:
        extreme = np.abs(chance) >= abs(value) - _TINY if chance is not None else np.zeros(0)
        p_value = float((1 + extreme.sum()) / (1 + len(extreme)))
        ahead = float(np.mean((resamples > _TINY) + 0.5 * (np.abs(resamples) <= _TINY)))
        return Difference(value, *videos, p_value, ahead, "weights", *videos)
    return _of_methods(estimate, "weights" if min(len(a), len(b)) == 1 else "method", videos)


def _of_methods(estimate: Estimate, scope: Scope, videos: tuple[float, float]) -> Difference:
    return Difference(
        estimate.value,
        *estimate.interval(),
        p_value=estimate.p_value,
        ahead=estimate.ahead,
        scope=scope,
        videos_low=videos[0],
        videos_high=videos[1],
        seeds=float(np.sqrt(estimate.seeds)),
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
    return {name: values.mean(axis=0) for name, values in drawn(tables, draws).items()}


def _minus(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: a[name] - b[name] for name in a}


def _lead(a: Sequence[SnippetTable], b: Sequence[SnippetTable], draws: Ints, metric: str) -> Floats:
    return _means(a, draws)[metric] - _means(b, draws)[metric]


def _exchanged(one: SnippetTable, other: SnippetTable, exchanges: Ints) -> dict[str, Floats]:
    """Differences `[permutations]` after exchanging the two sets' scores of the videos where `exchanges` is 1."""
    if not len(exchanges):
        return {}
    # Scores of two methods have no common scale; their ranks have, and no metric here notices.
    both = SnippetTable(
        np.concatenate([_ranks(one), _ranks(other)]),
        np.concatenate([one.positives, other.positives]),
        np.concatenate([one.negatives, other.negatives]),
        np.concatenate([one.video, other.video + exchanges.shape[1]]),
    )
    forth, back = np.hstack([1 - exchanges, exchanges]), np.hstack([exchanges, 1 - exchanges])
    return _minus(resampled(both, forth), resampled(both, back))


def _ranks(table: SnippetTable) -> Floats:
    """Mean frame rank of each snippet's score `[N]`, equal scores sharing theirs, as a share of all frames."""
    frames = table.positives + table.negatives
    _, group = np.unique(table.scores, return_inverse=True)
    weight = np.bincount(group, frames)
    below = np.cumsum(weight) - weight
    return np.asarray((below + weight / 2)[group] / max(frames.sum(), 1))
