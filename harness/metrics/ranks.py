"""Average ranks of methods over data sets, and which of them are too close to tell apart (Demsar, JMLR 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """Average ranks by method, best (lowest) first; rank 1 is the best of a data set, ties share theirs.

    `critical` is the Nemenyi critical difference of average ranks at 5%. `groups` are the maximal runs of methods
    whose ranks differ by less.
    """

    datasets: int
    average: dict[str, float]
    critical: float
    groups: tuple[tuple[str, ...], ...]


def average_ranks(values: Mapping[str, Mapping[str, float]]) -> Ranks | None:
    """Return the ranks of the methods that every data set has; None with fewer than two methods or data sets.

    Args:
        values: data set -> method -> metric, higher is better.
    """
    from scipy.stats import rankdata, studentized_range

    methods = sorted(set.intersection(*(set(each) for each in values.values()))) if values else []
    if len(methods) < 2 or len(values) < 2:
        return None
    table = np.array([[each[name] for name in methods] for each in values.values()])
    means = rankdata(-table, axis=1).mean(axis=0)
    count = len(methods)
    critical = (
        studentized_range.ppf(0.95, count, np.inf) / np.sqrt(2) * np.sqrt(count * (count + 1) / (6 * len(values)))
    )
    order = np.argsort(means, kind="stable")
    average = {methods[index]: float(means[index]) for index in order}
    return Ranks(len(values), average, float(critical), _groups(average, float(critical)))


def _groups(average: Mapping[str, float], critical: float) -> tuple[tuple[str, ...], ...]:
    names, ranks = list(average), list(average.values())
    reach = [max(j for j in range(len(names)) if ranks[j] - rank < critical) for rank in ranks]
    runs = [(i, end) for i, end in enumerate(reach) if end > i]
    inside = {a for a, b in combinations(runs, 2) if b[0] <= a[0] and a[1] <= b[1]}
    inside |= {b for a, b in combinations(runs, 2) if a[0] <= b[0] and b[1] <= a[1]}
    return tuple(tuple(names[i : end + 1]) for i, end in runs if (i, end) not in inside)
