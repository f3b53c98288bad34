"""Differences between thousands of rows of one board: `variance.difference` of one against many at a time.

The definitions are those of `harness.metrics.variance`, which is the oracle of the tests. What every row brings to a
difference is computed once; a difference then takes a pass over these, and an exact p-value, which is a search, is made
only where it decides something.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics import variance
from harness.metrics.bootstrap import UNLIMITED
from harness.metrics.frame import Floats, Ints
from harness.metrics.paired import paired
from harness.metrics.variance import Estimate

# Below this a difference is one of rounding, as `variance` has it.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Differences:
    """The fields of `variance.Estimate` of many differences, `[n]` each."""

    value: Floats
    videos: Floats
    seeds: Floats
    shared: Floats
    video_freedom: Floats
    seed_freedom: Floats

    def estimate(self, index: int) -> Estimate:
        """Return one of them."""
        names = ("value", "videos", "seeds", "shared", "video_freedom", "seed_freedom")
        return Estimate(**{name: float(getattr(self, name)[index]) for name in names})

    def p_values(self, level: float) -> list[float]:
        """Return p-values that Holm's correction decides by at `level` as it does by the exact ones.

        One that is rejected whatever the others are is given as 0, one that is not as 1.
        """
        from scipy.special import stdtr

        deviation = np.sqrt(self.videos + np.maximum(self.seeds - self.shared, 0.0))
        none = (np.abs(self.value) <= _ROUNDING) | (deviation == 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(none, 0.0, np.abs(self.value) / deviation)
        # An interval reaches as far as Student's t with the freedom of one of both sources, or in between.
        other = np.where(self.seeds == 0, self.video_freedom, self.seed_freedom)
        most = 2 * stdtr(np.minimum(self.video_freedom, other), -distance)
        least = 2 * stdtr(np.maximum(self.video_freedom, other), -distance)
        found = np.where(least > level, 1.0, 0.0)
        for index in np.flatnonzero(~none & (least <= level) & (most >= level / max(len(found), 1) / 2)):
            found[index] = self.estimate(int(index)).p_value
        return [float(value) for value in np.where(none, 1.0, found)]


class Many:
    """Rows of one board on its plan; the first comes first in every list."""

    def __init__(self, values: Sequence[Floats], seeds: Sequence[tuple[int, ...]], normal: NDArray[np.bool_]) -> None:
        """Take the rows' values `[seeds, 1 + videos + resamples]` each, and which videos are normal `[videos]`."""
        videos = len(normal)
        self._values, self._seeds, self._normal = values, seeds, normal
        self._short = videos / max(videos - len(np.unique(normal)), 1)
        means = np.stack([each.mean(axis=0) for each in values])
        self._whole = means[:, 0]
        self._without = means[:, 1 : 1 + videos]
        defined = np.isfinite(means[:, 1 + videos :])
        # Whether a metric is defined on a resample is decided by its videos, not by anybody's scores.
        self._alike = bool((defined == defined[0]).all() and (np.isfinite(self._without) == self._kept).all())
        self.defined = bool(np.isfinite(self._whole).all() and defined[0].any())
        self._drawn = 1 + videos + np.flatnonzero(defined[0])
        self._average = _centred(means[:, self._drawn])
        self._own = [variance.mean(each, normal) for each in values]
        self._groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, each in enumerate(seeds):
            if paired(each, each):
                self._groups[each].append(index)
        self._place = {index: at for group in self._groups.values() for at, index in enumerate(group)}
        # How each seed differs from its row's mean, by resample: `[rows, seeds, resamples]`.
        self._apart = {
            each: np.stack([_apart(values[index][:, self._drawn]) for index in group])
            for each, group in self._groups.items()
        }
        self._points = {
            each: np.stack([values[index][:, 0] for index in group]) for each, group in self._groups.items()
        }

    @property
    def _kept(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self._without[0]))

    def p_values(self, best: int, level: float) -> list[float] | None:
        """Return those of a row against each below it, as `Differences.p_values`; None where one is not defined."""
        if not self.defined:
            return None
        if not self._alike:
            found = [self._scalar(best, other) for other in range(best + 1, len(self._values))]
            values = [each.p_value for each in found if each is not None]
            return values if len(values) == len(found) else None
        return self.differences(best, np.arange(best + 1, len(self._values))).p_values(level)

    def differences(self, one: int, others: Ints) -> Differences:
        """Return the mean of row `one` minus that of each of `others`, which must be defined alike."""
        same = np.array([paired(self._seeds[one], self._seeds[other]) for other in others], dtype=bool)
        own, all_own = self._estimate(one), [self._estimate(int(other)) for other in others]
        seeds = np.array([own.seeds + each.seeds for each in all_own])
        shared = np.array([own.shared + each.shared for each in all_own])
        doubt = np.array([own.seeds**2 / own.seed_freedom + e.seeds**2 / e.seed_freedom for e in all_own])
        with np.errstate(divide="ignore", invalid="ignore"):
            seed_freedom = np.where(doubt > 0, seeds**2 / doubt, UNLIMITED)
        if same.any():
            seeds[same], shared[same], seed_freedom[same] = self._by_pairs(one, others[same])
        videos = self._short * np.square(self._average[one] - self._average[others]).mean(axis=1)
        return Differences(
            value=self._whole[one] - self._whole[others],
            videos=np.where(videos > _ROUNDING**2, videos, 0.0),
            seeds=seeds,
            shared=shared,
            video_freedom=self._freedom(self._without[one] - self._without[others]),
            seed_freedom=seed_freedom,
        )

    def _by_pairs(self, one: int, others: Ints) -> tuple[Floats, Floats, Floats]:
        """B, C and the degrees of freedom of B where the i-th seeds of both met the same sampling."""
        group = self._seeds[one]
        places = np.array([self._place[int(other)] for other in others])
        count, here = len(group), self._place[one]
        points = self._points[group]
        spread = (points[here] - points[places]).var(axis=1, ddof=1) / count
        seeds = np.where(spread > _ROUNDING**2, spread, 0.0)
        apart = self._apart[group]
        left = apart[here] - apart[places]
        total = np.einsum("nsr,nsr->n", left, left) / left.shape[2]
        shared = np.where(seeds > 0, self._short * total / (count - 1) / count, 0.0)
        return seeds, shared, np.where(seeds > 0, float(count - 1), UNLIMITED)

    def _freedom(self, without: Floats) -> Floats:
        """`bootstrap.freedom` of each row of `[n, videos]`."""
        total, doubt = np.zeros(len(without)), np.zeros(len(without))
        for kind in (False, True):
            own = without[:, (self._normal == kind) & self._kept]
            count = own.shape[1]
            if count > 1:
                shares = np.square(_centred(own) * ((count - 1) / count))
                total += shares.sum(axis=1)
                doubt += shares.var(axis=1, ddof=1) * count
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(doubt > 0, np.minimum(2 * total**2 / doubt, UNLIMITED), UNLIMITED)

    def _estimate(self, index: int) -> Estimate:
        found = self._own[index]
        assert found is not None  # as `defined` says
        return found

    def _scalar(self, one: int, other: int) -> Estimate | None:
        same = paired(self._seeds[one], self._seeds[other])
        return variance.difference(self._values[one], self._values[other], self._normal, same)


def _centred(values: Floats) -> Floats:
    """Values less their mean along the last axis."""
    return np.asarray(values - values.mean(axis=-1, keepdims=True))


def _apart(drawn: Floats) -> Floats:
    """What sets each seed apart from the mean, `[seeds, resamples]`, centred over resamples."""
    return _centred(drawn - drawn.mean(axis=0))
