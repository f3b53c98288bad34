"""Two or more sets of predictions of one test set: what separates them, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.comparison.result import ClassDifference, ComparisonResult, PairVideos, Standing, Verdict
from harness.errors import UserError
from harness.metrics import variance
from harness.metrics.bootstrap import plan
from harness.metrics.concordance import auc, concordance
from harness.metrics.curves import curves
from harness.metrics.frame import Floats, Ints, SnippetTable, snippet_table
from harness.metrics.paired import Difference, deciding_videos, difference, differences, holm, influences, paired
from harness.metrics.protocol import Evaluation, evaluate
from harness.metrics.variance import Estimate
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth

# Videos that are shown at either end of the list.
ENDS = 5


@dataclass(frozen=True)
class Side:
    """A name and its predictions, one set per seed; `seeds` are empty where they are not known."""

    name: str
    predictions: tuple[Predictions, ...]
    seeds: tuple[int, ...] = ()


def compare_sides(
    sides: Sequence[Side], truth: GroundTruth, resamples: int = 1000, permutations: int = 1000
) -> ComparisonResult:
    """Compare every pair on the same resamples of the test videos.

    Metrics: frame AUC and AP over all frames and over abnormal videos, and the video-level AUC; per class, the frame
    AUC over the videos of the class together with all normal ones. Predictions count by their own alignment.

    Raises:
        UserError: fewer than two sides, a name twice, or predictions of another test set.
    """
    names = [side.name for side in sides]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(f"compare needs two or more different sets of predictions; got {', '.join(names) or 'none'}")
    tables: dict[str, Sequence[SnippetTable]] = {}
    scored: dict[str, list[Evaluation]] = {}
    for each in sides:
        seen = [(p, replace(truth, alignment=p.alignment)) for p in each.predictions]
        try:
            tables[each.name] = [snippet_table(p, matching) for p, matching in seen]
        except UserError as error:
            raise UserError(f"{each.name}: {error}") from error
        scored[each.name] = [evaluate(p, matching) for p, matching in seen]
    seeds = {each.name: each.seeds for each in sides}
    abnormal = np.array([video.abnormal for video in truth.videos.values()], dtype=bool)
    part = {name: [_among(table, abnormal) for table in own] for name, own in tables.items()}
    tops = {name: [_tops(table, abnormal) for table in own] for name, own in tables.items()}
    verdicts: list[Verdict] = []
    estimates: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    for compared, normal, metrics in (
        (tables, ~abnormal, {"frame_auc": "frame_auc", "frame_ap": "frame_ap"}),
        (part, ~abnormal[abnormal], {"frame_auc": "abnormal_auc", "frame_ap": "abnormal_ap"}),
        (tops, ~abnormal, {"frame_auc": "video_auc"}),
    ):
        verdicts += _verdicts(differences(compared, normal, resamples, permutations, seeds=seeds), metrics)
        for name, own in compared.items():
            estimates[name] |= _estimates(own, normal, resamples, metrics)
    return ComparisonResult(
        resamples,
        permutations,
        tuple(_standing(name, tables[name], scored[name], estimates[name]) for name in names),
        tuple(sorted(verdicts, key=lambda v: (names.index(v.a), names.index(v.b)))),
        tuple(_classes(tables, truth, abnormal, resamples, seeds)),
        tuple(_videos(a, b, tables, list(truth.videos)) for a, b in combinations(names, 2)),
    )


_Pairs = dict[tuple[str, str], dict[str, Difference]]


def _standing(
    name: str, tables: Sequence[SnippetTable], scored: Sequence[Evaluation], estimates: Mapping[str, Estimate]
) -> Standing:
    shared = [metric for metric in scored[0].metrics if all(metric in each.metrics for each in scored)]
    metrics = {metric: tuple(each.metrics[metric] for each in scored) for metric in shared}
    classes = [label for label in scored[0].class_auc if all(label in each.class_auc for each in scored)]
    class_auc = {label: float(np.mean([each.class_auc[label] for each in scored])) for label in classes}
    frames = min(each.frames for each in scored)
    return Standing(name, metrics, class_auc, curves(tables), frames, len(scored), dict(estimates))


def _estimates(
    tables: Sequence[SnippetTable], normal: NDArray[np.bool_], resamples: int, metrics: Mapping[str, str]
) -> dict[str, Estimate]:
    """One side's metrics with their uncertainty; `metrics` maps the computed metric to its name."""
    found = variance.estimates(tables, normal, resamples)
    return {name: found[metric] for metric, name in metrics.items() if metric in found}


def _tops(table: SnippetTable, abnormal: NDArray[np.bool_]) -> SnippetTable:
    """Every video as one frame with the video's highest score, so that a frame metric is the video-level one."""
    video, first = np.unique(table.video, return_index=True)
    positive = abnormal[video].astype(np.int64)
    return SnippetTable(np.maximum.reduceat(table.scores, first), positive, 1 - positive, video)


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


def _classes(
    tables: Mapping[str, Sequence[SnippetTable]],
    truth: GroundTruth,
    abnormal: NDArray[np.bool_],
    resamples: int,
    seeds: Mapping[str, tuple[int, ...]],
) -> list[ClassDifference]:
    if len(truth.classes) < 3:
        return []
    shows = {
        name: np.array([label in video.labels for video in truth.videos.values()], dtype=bool)
        for label, name in enumerate(truth.classes)
        if label > 0
    }
    draws = {}
    for name, members in shows.items():
        kept = np.flatnonzero(members | ~abnormal)
        planned = plan(~abnormal[kept], resamples, seed=0)
        draws[name] = np.zeros((len(planned), len(abnormal)), dtype=np.int64)
        draws[name][:, kept] = planned
    values = {name: _class_aucs(own, draws) for name, own in tables.items()}
    found = []
    for a, b in combinations(tables, 2):
        for name, members in shows.items():
            normal = ~abnormal[members | ~abnormal]
            same = paired(seeds[a], seeds[b])
            each = difference(values[a][name], values[b][name], normal, same)
            if each is not None:
                found.append(ClassDifference(a, b, name, int(members.sum()), each))
    return found


def _class_aucs(tables: Sequence[SnippetTable], draws: Mapping[str, Ints]) -> dict[str, Floats]:
    """Frame AUC by class `[tables, draws]`."""
    videos = next(iter(draws.values())).shape[1]
    found: dict[str, list[Floats]] = {name: [] for name in draws}
    for table in tables:
        pairs = concordance(table, videos)
        positives = np.bincount(table.video, table.positives, videos).astype(np.float64)
        negatives = np.bincount(table.video, table.negatives, videos).astype(np.float64)
        for name, which in draws.items():
            found[name].append(auc(pairs, positives, negatives, which))
    return {name: np.stack(values) for name, values in found.items()}


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
