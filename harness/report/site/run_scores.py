"""Scores of one run over time, small enough that every run of a site has its own: a file that its page loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.quoting import script_json
from harness.report.site.thinned import Values, characters, thinned

# Points of one video, means over adjacent snippets where it has more; a score is one character, from the lowest of its
# video to the highest.
POINTS = 200


def videos_script(truth: GroundTruth) -> str:
    """Return what the runs of a board share, as a script: frames, classes and events of its test videos.

    `base` is the share of frames inside events, the precision of chance.
    """
    alignment = truth.alignment
    found = {
        "classes": truth.classes,
        "stride": alignment.stride if alignment.kind == "stride" else 0,
        "points": POINTS,
        "base": sum(int(video.mask().sum()) for video in truth.videos.values()) / max(truth.frames, 1),
        "videos": [
            {
                "name": name,
                "frames": video.frames,
                "classes": [truth.classes[label] for label in video.labels],
                "events": [[e.start, min(e.end, video.frames), truth.classes[e.label]] for e in video.events],
            }
            for name, video in truth.videos.items()
        ],
    }
    return f"harnessVideos({script_json(found)});\n"


def run_scores(predictions: Predictions, truth: GroundTruth) -> dict[str, Any]:
    """Return the scores of a run by video, [lowest, highest, snippets, characters] or None, and where to start."""
    place = {name: index for index, name in enumerate(predictions.videos)}
    scores = [_own(predictions, place.get(name)) for name in truth.videos]
    return {"start": start([scores], truth), "videos": [_encoded(own) for own in scores]}


def run_script(scores: Mapping[str, Any], roc: Sequence[float], pr: Sequence[float]) -> str:
    """Return what the page of a run loads: its scores, and its curves at fixed places, as a script."""
    return f"harnessRun({script_json({**scores, 'roc': roc, 'pr': pr})});\n"


def start(lines: list[list[Values | None]], truth: GroundTruth) -> int:
    """Return the number of the video that a page opens on, see `most_moving`.

    Args:
        lines: of each, the scores `[T]` by video, None where it has none.
    """
    return most_moving([movement(line) for line in lines], truth)


def movement(line: Sequence[Values | None]) -> Values:
    """Return how much each video varies: highest less lowest score, as a share of what the whole line does."""
    ranges = np.array([float(np.ptp(own)) if own is not None and len(own) else 0.0 for own in line])
    there = [own for own in line if own is not None and len(own)]
    whole = max((own.max() for own in there), default=0.0) - min((own.min() for own in there), default=0.0)
    return ranges / whole if whole > 0 else np.zeros(len(ranges))


def most_moving(movements: Sequence[Values], truth: GroundTruth) -> int:
    """Return the number of the annotated video whose scores vary most, in the mean over lines.

    Whether they are right plays no part. The first of equal ones; the first video where none is annotated.
    """
    total = np.zeros(len(truth.videos))
    for each in movements:
        total += each
    annotated = np.array([bool(video.events) for video in truth.videos.values()], dtype=bool)
    return int(np.argmax(np.where(annotated, total, -1.0))) if len(total) else 0


def _own(predictions: Predictions, index: int | None) -> Values | None:
    return None if index is None else predictions.scores[predictions.rows(index)].astype(np.float64)


def _encoded(scores: Values | None) -> list[Any] | None:
    if scores is None or not len(scores):
        return None
    means = thinned(scores, POINTS)
    low, high = (float(f"{end:.6g}") for end in (means.min(), means.max()))
    share = (means - low) / (high - low) if high > low else np.zeros(len(means))
    return [low, high, len(scores), characters(share)]
