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

# As in `variance`: what differs by rounding only, and the smallest p-value that is told apart.
_ROUNDING, _LEAST = 1e-12, 1e-12
# Bounds of a p-value are made this much wider, in logarithms, and halved so often: that is ten digits at least.
_WIDER, _HALVINGS = 1e-9, 44


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
        """Return p-values that Holm's correction decides by at `level` as it does by those of `variance.Estimate`.

        One that is rejected whatever the others are is given as 0, one that is not as 1.
        """
        from scipy.special import stdtr

        none = (np.abs(self.value) <= _ROUNDING) | (self._variance == 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(none, 0.0, np.abs(self.value) / np.sqrt(self._variance))
        # An interval reaches as far as Student's t with the freedom of one of both sources, or in between.
        other = np.where(self.seeds == 0, self.video_freedom, self.seed_freedom)
        least = 2 * stdtr(np.maximum(self.video_freedom, other), -distance)
        most = 2 * stdtr(np.minimum(self.video_freedom, other), -distance)
        found = np.where(none | (least > level), 1.0, 0.0)
        open_ones = np.flatnonzero(~none & (least <= level) & (most >= level / max(len(found), 1) / 2))
        if len(open_ones):
            found[open_ones] = self._solved(open_ones, distance[open_ones], least[open_ones], most[open_ones])
        return [float(value) for value in found]

    @property
    def _variance(self) -> Floats:
        return np.asarray(self.videos + np.maximum(self.seeds - self.shared, 0.0))

    def _solved(self, which: Ints, distance: Floats, least: Floats, most: Floats) -> Floats:
        """The p at which `variance.Estimate.reach(1 - p)` is the distance, between two bounds; by halving."""
        from scipy.special import stdtrit

        total, seeds, freedom = self._variance[which], self.seeds[which], self.seed_freedom[which]
        share = np.where(seeds > 0, np.clip((seeds - self.shared[which] / 2) / total, 0.0, 1.0), 0.0)
        weight = np.where(seeds > 0, share ** (1.5 - 0.5 / freedom), 0.0)
        low, high = np.log(np.maximum(least, _LEAST)) - _WIDER, np.log(np.maximum(most, _LEAST)) + _WIDER
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            level = 1 - np.exp(middle) / 2
            of_videos = stdtrit(self.video_freedom[which], level)
            reach = of_videos + weight * (stdtrit(freedom, level) - of_videos)
            # The farther an interval reaches, the smaller its p.
            beyond = reach > distance
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return np.minimum(np.exp((low + high) / 2), 1.0)


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
        self._groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, each in enumerate(seeds):
            if paired(each, each):
                self._groups[each].append(index)
        self._place = {index: at for group in self._groups.values() for at, index in enumerate(group)}
        # How each seed differs from its row's mean, by resample: `[rows, seeds, resamples]`.
        self._apart, self._points = dict[tuple[int, ...], Floats](), dict[tuple[int, ...], Floats]()
        # B, C and the degrees of freedom of B of each row; a single set of predictions has none of them.
        self._own = np.tile([0.0, 0.0, UNLIMITED], (len(values), 1))
        for each, group in self._groups.items():
            self._apart[each] = np.stack([_apart(values[index][:, self._drawn]) for index in group])
            self._points[each] = np.stack([values[index][:, 0] for index in group])
            self._own[group] = np.stack(self._of_seeds(self._points[each], self._apart[each]), axis=1)

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
        own, theirs = self._own[one], self._own[others].T
        seeds, shared = own[0] + theirs[0], own[1] + theirs[1]
        doubt = own[0] ** 2 / own[2] + theirs[0] ** 2 / theirs[2]
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
        points, apart, here = self._points[group], self._apart[group], self._place[one]
        return self._of_seeds(points[here] - points[places], apart[here] - apart[places])

    def _of_seeds(self, points: Floats, apart: Floats) -> tuple[Floats, Floats, Floats]:
        """B, C and the degrees of freedom of B of values `[n, seeds]` and how they differ by resample."""
        count = points.shape[1]
        spread = points.var(axis=1, ddof=1) / count
        seeds = np.where(spread > _ROUNDING**2, spread, 0.0)
        total = np.einsum("nsr,nsr->n", apart, apart) / apart.shape[2]
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

    def _scalar(self, one: int, other: int) -> Estimate | None:
        same = paired(self._seeds[one], self._seeds[other])
        return variance.difference(self._values[one], self._values[other], self._normal, same)


def _centred(values: Floats) -> Floats:
    """Values less their mean along the last axis."""
    return np.asarray(values - values.mean(axis=-1, keepdims=True))


def _apart(drawn: Floats) -> Floats:
    """What sets each seed apart from the mean, `[seeds, resamples]`, centred over resamples."""
    return _centred(drawn - drawn.mean(axis=0))
