"""The evaluation protocol: every number that a run reports, by name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.metrics.alarms import FALSE_ALARM_THRESHOLD
from harness.metrics.frame import Floats, SnippetTable, average_precision, pr_auc_trapezoid, roc_auc, snippet_table
from harness.metrics.segments import THRESHOLDS, field_map, strict_map
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one set of predictions; fractions in [0, 1], undefined ones left out.

    `metrics` by name, see `evaluate`; `class_auc` by class name: the frame AUC over the abnormal videos of that class
    together with all normal videos. `videos` and `frames` count what was scored. `undefined` names the metrics of these
    predictions that the test set leaves undefined.
    """

    metrics: dict[str, float]
    class_auc: dict[str, float]
    videos: int
    frames: int
    undefined: tuple[str, ...] = ()


def evaluate(predictions: Predictions, truth: GroundTruth, shared: Collection[str] | None = None) -> Evaluation:
    """Return all metrics of the protocol.

    `shared` names the classes that the predictions can tell, where these are not all: the mAP is over them then, and
    over the videos that show no other class.

    Frame metrics pool the frames of the videos they cover; ties and snippet lengths are exact.

    - `frame_auc`, `frame_ap`, `frame_pr_auc_trapezoid`: ROC AUC, average precision and trapezoid area under the
      precision-recall curve over all frames.
    - `abnormal_auc`, `abnormal_ap`: the same over abnormal videos only, which shows localisation alone.
    - `video_auc`: ROC AUC over videos; a video's score is its highest snippet score, its label whether it is abnormal.
    - `macro_auc`: mean, over the videos with both kinds of frames, of the video's own frame AUC.
    - `false_alarm_rate`: share of the frames of normal videos whose score is above 0.5.
    - `map@0.1` .. `map@0.5`, `map_avg` (their mean): the field's detection mAP in the data set's variant, and
      `map_strict@0.1` .. `map_strict@0.5`, `map_strict_avg`: the corrected one, see `harness.metrics.segments`; only
      with class probabilities, and undefined without any event.

    Raises:
        UserError: the predictions' videos, alignment or classes are not the ground truth's.
    """
    test = _Test(snippet_table(predictions, truth), truth)
    named = {name: metric(test) for name, metric in _METRICS.items()}
    if predictions.class_probs is not None:
        told = (predictions, truth) if shared is None else _of_classes(predictions, truth, shared)
        strict = strict_map(*told)
        # Without an event no detection could be right: the field's 0 would be no measurement.
        named |= _at_thresholds("map", None if strict is None else field_map(*told))
        named |= _at_thresholds("map_strict", strict)
    per_class = {name: _class_auc(test, label) for label, name in enumerate(truth.classes) if label > 0}
    return Evaluation(
        metrics={name: value for name, value in named.items() if value is not None},
        class_auc={name: value for name, value in per_class.items() if value is not None},
        videos=len(np.unique(test.table.video)),
        frames=int(test.frames.sum()),
        undefined=tuple(name for name, value in named.items() if value is None),
    )


def _of_classes(
    predictions: Predictions, truth: GroundTruth, names: Collection[str]
) -> tuple[Predictions, GroundTruth]:
    """Both with the normal class and those in `names` alone."""
    assert predictions.class_probs is not None
    kept = truth.of_classes(names)
    columns = [truth.classes.index(name) for name in kept.classes]
    return replace(predictions, classes=kept.classes, class_probs=predictions.class_probs[:, columns]), kept


def primary(predictions: Predictions, truth: GroundTruth) -> float:
    """Return the data set's primary metric alone, `evaluate(...).metrics[truth.primary]`, in a fraction of its time.

    Raises:
        UserError: as `evaluate`, or the metric is unknown or undefined on these predictions.
    """
    metric = _METRICS.get(truth.primary)
    if metric is not None:
        value = metric(_Test(snippet_table(predictions, truth), truth))
    else:
        value = evaluate(predictions, truth).metrics.get(truth.primary)
    if value is None:
        raise UserError(f"{truth.dataset}: primary metric {truth.primary!r} is unknown or undefined on this test set")
    return value


class _Test:
    """A snippet table with the kinds of its videos; parts are computed when a metric first asks."""

    def __init__(self, table: SnippetTable, truth: GroundTruth) -> None:
        self.table = table
        self.truth = truth
        self.frames = table.positives + table.negatives

    @cached_property
    def abnormal(self) -> NDArray[np.bool_]:
        """Whether each video is abnormal `[videos]`."""
        return np.array([video.abnormal for video in self.truth.videos.values()], dtype=bool)

    @cached_property
    def in_abnormal(self) -> NDArray[np.bool_]:
        """Whether each snippet belongs to an abnormal video `[N]`."""
        return self.abnormal[self.table.video]


_Curve = Callable[..., "float | None"]


def _over(curve: _Curve, table: SnippetTable) -> float | None:
    return curve(table.scores, table.positives, table.negatives)


def _abnormal(curve: _Curve, test: _Test) -> float | None:
    return _over(curve, test.table.where(test.in_abnormal))


def _video_auc(test: _Test) -> float | None:
    video, first = np.unique(test.table.video, return_index=True)
    if not len(video):
        return None
    abnormal = test.abnormal[video].astype(np.int64)
    return roc_auc(np.maximum.reduceat(test.table.scores, first), abnormal, 1 - abnormal)


def _macro_auc(test: _Test) -> float | None:
    table = test.table
    edges = np.searchsorted(table.video, np.arange(len(test.abnormal) + 1))
    values = [
        roc_auc(table.scores[begin:end], table.positives[begin:end], table.negatives[begin:end])
        for begin, end in pairwise(edges)
    ]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _false_alarm_rate(test: _Test) -> float | None:
    frames = test.frames[~test.in_abnormal]
    alarms = frames[test.table.scores[~test.in_abnormal] > FALSE_ALARM_THRESHOLD]
    return float(alarms.sum() / frames.sum()) if len(frames) else None


def _class_auc(test: _Test, label: int) -> float | None:
    shows = np.array([label in video.labels for video in test.truth.videos.values()], dtype=bool)
    if not shows.any():
        return None
    return _over(roc_auc, test.table.where((shows | ~test.abnormal)[test.table.video]))


def _at_thresholds(name: str, values: Floats | None) -> dict[str, float | None]:
    names = [*(f"{name}@{threshold}" for threshold in THRESHOLDS), f"{name}_avg"]
    if values is None:
        return dict.fromkeys(names)
    return dict(zip(names, [*map(float, values), float(np.mean(values))], strict=True))


_METRICS: dict[str, Callable[[_Test], float | None]] = {
    "frame_auc": lambda test: _over(roc_auc, test.table),
    "frame_ap": lambda test: _over(average_precision, test.table),
    "frame_pr_auc_trapezoid": lambda test: _over(pr_auc_trapezoid, test.table),
    "abnormal_auc": lambda test: _abnormal(roc_auc, test),
    "abnormal_ap": lambda test: _abnormal(average_precision, test),
    "video_auc": _video_auc,
    "macro_auc": _macro_auc,
    "false_alarm_rate": _false_alarm_rate,
}
