"""Two or more sets of predictions of one test set: what separates them, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.metrics.frame import SnippetTable, snippet_table
from harness.metrics.paired import Difference, deciding_videos, differences, holm, influences
from harness.predictions import Predictions
from harness.truth import GroundTruth

LEVEL = 0.05
# Videos that are shown at either end of the list.
ENDS = 5


@dataclass(frozen=True)
class Contestant:
    """A name and its predictions, one set per seed."""

    name: str
    predictions: tuple[Predictions, ...]


@dataclass(frozen=True)
class Verdict:
    """One metric of one pair. `p_value` is corrected for the number of pairs; `p_alone` is not."""

    a: str
    b: str
    metric: str
    difference: Difference
    p_value: float

    @property
    def verdict(self) -> str:
        """ "A ahead", "B ahead" (interval and corrected p-value agree), or "no evidence of a difference"."""
        sure = self.p_value < LEVEL and (self.difference.low > 0 or self.difference.high < 0)
        if not sure:
            return "no evidence of a difference"
        return f"{self.a if self.difference.value > 0 else self.b} ahead"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        d = self.difference
        return {
            **{"a": self.a, "b": self.b, "metric": self.metric, "difference": d.value, "interval": [d.low, d.high]},
            **{"p_value": self.p_value, "p_alone": d.p_value, "ahead": d.ahead, "verdict": self.verdict},
        }


@dataclass(frozen=True)
class ClassDifference:
    """Frame AUC of A minus that of B over the videos of one class and all normal ones; an interval, no test."""

    a: str
    b: str
    name: str
    difference: Difference

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        d = self.difference
        return {
            **{"a": self.a, "b": self.b, "class": self.name, "difference": d.value, "interval": [d.low, d.high]},
            "ahead": d.ahead,
        }


@dataclass(frozen=True)
class PairVideos:
    """What single videos do to a pair's frame AUC: `gains` and `losses` of A (video, share of the difference).

    `deciding` are few videos without which the leader leads no more, None where nobody leads.
    """

    a: str
    b: str
    gains: tuple[tuple[str, float], ...]
    losses: tuple[tuple[str, float], ...]
    deciding: tuple[str, ...] | None


@dataclass(frozen=True)
class Comparison:
    """Everything that `harness compare` shows."""

    verdicts: tuple[Verdict, ...]
    classes: tuple[ClassDifference, ...]
    videos: tuple[PairVideos, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        videos = [
            {
                **{"a": pair.a, "b": pair.b, "gains": [list(v) for v in pair.gains]},
                **{"losses": [list(v) for v in pair.losses], "deciding": pair.deciding and list(pair.deciding)},
            }
            for pair in self.videos
        ]
        return {
            "pairs": [verdict.as_json() for verdict in self.verdicts],
            "classes": [each.as_json() for each in self.classes],
            "videos": videos,
        }


def compare(
    contestants: Sequence[Contestant], truth: GroundTruth, resamples: int = 1000, permutations: int = 1000
) -> Comparison:
    """Compare every pair on the same resamples of the test videos.

    Metrics: frame AUC and AP over all frames and over abnormal videos; per class, the frame AUC over the videos of
    the class together with all normal ones.

    Raises:
        UserError: fewer than two contestants, a name twice, or predictions of another test set.
    """
    names = [contestant.name for contestant in contestants]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(f"compare needs two or more different sets of predictions; got {', '.join(names) or 'none'}")
    tables = {each.name: [snippet_table(p, truth) for p in each.predictions] for each in contestants}
    abnormal = np.array([video.abnormal for video in truth.videos.values()], dtype=bool)
    everything = np.ones(len(abnormal), dtype=bool)
    whole = {"frame_auc": "frame_auc", "frame_ap": "frame_ap"}
    inside = {"frame_auc": "abnormal_auc", "frame_ap": "abnormal_ap"}
    verdicts: list[Verdict] = []
    for keep, metrics in ((everything, whole), (abnormal, inside)):
        verdicts += _verdicts(_pairs(tables, keep, ~abnormal, resamples, permutations), metrics)
    classes: list[ClassDifference] = []
    for label, name in enumerate(truth.classes):
        shows = np.array([label in video.labels for video in truth.videos.values()], dtype=bool)
        if label > 0 and shows.any() and len(truth.classes) > 2:
            found = _pairs(tables, shows | ~abnormal, ~abnormal, resamples, permutations=0)
            classes += [ClassDifference(a, b, name, each["frame_auc"]) for (a, b), each in found.items() if each]
    return Comparison(
        tuple(sorted(verdicts, key=lambda v: (names.index(v.a), names.index(v.b)))),
        tuple(sorted(classes, key=lambda v: (names.index(v.a), names.index(v.b)))),
        tuple(_videos(a, b, tables, list(truth.videos)) for a, b in combinations(names, 2)),
    )


_Pairs = dict[tuple[str, str], dict[str, Difference]]


def _pairs(
    tables: Mapping[str, Sequence[SnippetTable]],
    keep: NDArray[np.bool_],
    normal: NDArray[np.bool_],
    resamples: int,
    permutations: int,
) -> _Pairs:
    """Differences of all pairs on the videos in `keep`."""
    parts = {name: [_among(table, keep) for table in each] for name, each in tables.items()}
    return differences(parts, normal[keep], resamples, permutations)


def _verdicts(found: _Pairs, metrics: Mapping[str, str]) -> list[Verdict]:
    """Metric by metric, with p-values corrected over the pairs; `metrics` maps the computed metric to its name."""
    verdicts = []
    for metric, name in metrics.items():
        pairs = [(a, b, values[metric]) for (a, b), values in found.items() if metric in values]
        corrected = holm([difference.p_value for _, _, difference in pairs])
        verdicts += [Verdict(a, b, name, d, p) for (a, b, d), p in zip(pairs, corrected, strict=True)]
    return verdicts


def _among(table: SnippetTable, keep: NDArray[np.bool_]) -> SnippetTable:
    """The snippets of the videos in `keep`, which are numbered anew."""
    part = table.where(keep[table.video])
    return SnippetTable(part.scores, part.positives, part.negatives, (np.cumsum(keep) - 1)[part.video])


def _videos(a: str, b: str, tables: Mapping[str, Sequence[SnippetTable]], names: Sequence[str]) -> PairVideos:
    added = influences(tables[a], tables[b], len(names))
    order = np.argsort(-added, kind="stable")
    deciding = deciding_videos(tables[a], tables[b], len(names))
    ranked = [(names[index], float(added[index])) for index in order]
    return PairVideos(
        a,
        b,
        gains=tuple(pair for pair in ranked[:ENDS] if pair[1] > 0),
        losses=tuple(pair for pair in ranked[: -ENDS - 1 : -1] if pair[1] < 0),
        deciding=None if deciding is None else tuple(names[index] for index in deciding),
    )
