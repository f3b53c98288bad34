"""What a comparison found: verdicts, class by class, video by video, and every side alone."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from harness.metrics.curves import Curves
from harness.metrics.paired import Difference
from harness.metrics.variance import Estimate

LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """One metric of one pair. `p_value` is corrected for the number of pairs; `p_alone` is not."""

    a: str
    b: str
    metric: str
    difference: Difference
    p_value: float

    @property
    def sure(self) -> bool:
        """Whether interval and corrected p-value agree that there is a difference."""
        return self.p_value < LEVEL and (self.difference.low > 0 or self.difference.high < 0)

    @property
    def verdict(self) -> str:
        """ "A ahead", "B ahead", or "no evidence of a difference"; "these weights only" where a side has one seed."""
        only = ", these weights only" if self.difference.scope == "weights" else ""
        if not self.sure:
            return f"no evidence of a difference{only}"
        return f"{self.a if self.difference.value > 0 else self.b} ahead{only}"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        d = self.difference
        return {
            **{"a": self.a, "b": self.b, "metric": self.metric, "difference": d.value, "interval": [d.low, d.high]},
            **{"p_value": self.p_value, "p_alone": d.p_value, "ahead": d.ahead, "verdict": self.verdict},
            **_sources(d),
        }


@dataclass(frozen=True)
class ClassDifference:
    """Frame AUC of A minus that of B over the videos of one class and all normal ones; an interval, no test.

    `videos` counts those of the class. The p-value of `difference` is not used.
    """

    a: str
    b: str
    name: str
    videos: int
    difference: Difference

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **{"a": self.a, "b": self.b, "class": self.name, "videos": self.videos},
            **{"difference": self.difference.value, "interval": [self.difference.low, self.difference.high]},
            **{"ahead": self.difference.ahead, **_sources(self.difference)},
        }


def _sources(d: Difference) -> dict[str, Any]:
    """Of what a difference speaks, and its two sources of chance apart."""
    return {"scope": d.scope, "interval_videos": [d.videos_low, d.videos_high], "standard_error_seeds": d.seeds}


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

    @property
    def shown(self) -> tuple[tuple[str, float], ...]:
        """Gains and losses, the largest of each first."""
        return self.gains + self.losses


@dataclass(frozen=True)
class Standing:
    """One side alone: its metrics by set of predictions, its curves, and the frames it has scores for.

    `class_auc` by class: the frame AUC against all normal videos, mean over the sets. `estimates` say how sure the
    mean of a metric is, of those that are resampled. `seeds` counts
    the sets.
    """

    name: str
    metrics: dict[str, tuple[float, ...]]
    class_auc: dict[str, float]
    curves: Curves | None
    frames: int
    seeds: int = 1
    estimates: dict[str, Estimate] = field(default_factory=dict)

    def mean(self, metric: str) -> float | None:
        """Mean over the sets; None where the metric is undefined."""
        return statistics.fmean(self.metrics[metric]) if metric in self.metrics else None

    def sd(self, metric: str) -> float | None:
        """Sample deviation over the sets; None for a single one."""
        values = self.metrics.get(metric, ())
        return statistics.stdev(values) if len(values) > 1 else None

    def videos(self, metric: str) -> tuple[float, float] | None:
        """95% interval of the mean over test videos alone: of these weights."""
        found = self.estimates.get(metric)
        return found.of_weights.interval_in_odds() if found else None

    def total(self, metric: str) -> tuple[float, float] | None:
        """95% interval of the method, over seeds and test videos; None for a single set, which is no method."""
        found = self.estimates.get(metric)
        return found.interval_in_odds() if found and self.seeds > 1 else None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form; curves are rounded to 5 decimals."""
        metrics = {
            name: {
                **{"mean": self.mean(name), "sd": self.sd(name)},
                **{"interval_videos": self.videos(name), "interval": self.total(name)},
            }
            for name in self.metrics
        }
        shown: dict[str, Any] = {
            **{"name": self.name, "seeds": self.seeds, "frames": self.frames},
            "metrics": metrics,
            "class_auc": self.class_auc,
        }
        if self.curves is not None:
            shown["curves"] = {
                "recall_at_false_alarms": [round(float(v), 5) for v in self.curves.recall_at_false_alarms],
                "precision_at_recall": [round(float(v), 5) for v in self.curves.precision_at_recall],
            }
        return shown


@dataclass(frozen=True)
class ComparisonResult:
    """Everything that `harness compare` shows."""

    resamples: int
    permutations: int
    standings: tuple[Standing, ...]
    verdicts: tuple[Verdict, ...]
    classes: tuple[ClassDifference, ...]
    videos: tuple[PairVideos, ...]

    @property
    def pairs(self) -> int:
        """Number of pairs of sides, which p-values are corrected for."""
        return len(self.videos)

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
            "sides": [standing.as_json() for standing in self.standings],
            "statistics": {
                **{"resamples": self.resamples, "permutations": self.permutations, "level": LEVEL},
                "p_value": f"two-sided, Holm-corrected for {self.pairs} pair(s) in each metric",
                "scope": "method: several seeds on both sides, chance between seeds and between test videos; weights: "
                "a side is one set of predictions, other seeds of it are unknown",
            },
        }
