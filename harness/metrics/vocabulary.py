"""An open vocabulary: what a method that was trained on base classes makes of videos of classes it never saw.

Base and novel test videos are scored apart, each beside all normal videos, as the code of PLOVAD has it
(ctX-u/PLOVAD@e83904a).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from harness.metrics.protocol import Evaluation, evaluate
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth, VideoTruth

Part = Literal["base", "novel"]
PARTS: tuple[Part, ...] = ("base", "novel")
# Of the metrics of a part, those that are told beside those of all videos.
_TOLD = ("frame_auc", "frame_ap", "video_auc", "map_avg", "map_strict_avg")


def single(truth: GroundTruth) -> GroundTruth:
    """Return the test videos that show one class at most: of others, nobody can say whether they are base or novel."""
    return truth.where(lambda video: len(video.labels) < 2)


def part_of(truth: GroundTruth, base: Collection[str], part: Part) -> GroundTruth:
    """Return the test videos of one part: the normal ones, and those whose one class is a base (novel) class."""
    known = {index for index, name in enumerate(truth.classes) if name in base}

    def kept(video: VideoTruth) -> bool:
        if not video.abnormal:
            return True
        return len(video.labels) == 1 and (video.labels[0] in known) == (part == "base")

    return truth.where(kept)


def evaluate_open(predictions: Predictions, truth: GroundTruth, base: Collection[str]) -> Evaluation:
    """Return the metrics of all videos with one class at most, and beside them those of the two parts.

    `base_M` and `novel_M` are a metric M over the base and the novel classes, `harmonic_M` their harmonic mean, which
    is high only where both are.

    Raises:
        UserError: the predictions' videos, alignment or classes are not the ground truth's.
    """
    truth = single(truth)
    whole = evaluate(predictions.of(truth.videos), truth)
    metrics, undefined = dict(whole.metrics), list(whole.undefined)
    for part in PARTS:
        there = part_of(truth, base, part)
        found = evaluate(predictions.of(there.videos), there)
        metrics |= {f"{part}_{name}": found.metrics[name] for name in _TOLD if name in found.metrics}
        undefined += [f"{part}_{name}" for name in _TOLD if name in found.undefined]
    for name in _TOLD:
        pair = [metrics[f"{part}_{name}"] for part in PARTS if f"{part}_{name}" in metrics]
        if len(pair) == len(PARTS):
            metrics[f"harmonic_{name}"] = 2 * pair[0] * pair[1] / sum(pair) if sum(pair) else 0.0
    return Evaluation(metrics, whole.class_auc, whole.videos, whole.frames, tuple(undefined))
