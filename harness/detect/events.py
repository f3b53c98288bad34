"""Events: consecutive snippets with scores above a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.metrics.alarms import FALSE_ALARM_THRESHOLD, threshold_at_rate
from harness.records.run_directory import RunDirectory

# False alarms an hour, unless somebody says otherwise.
RATE = 10.0


@dataclass(frozen=True)
class Threshold:
    """Scores above `value` make an event; `words` say where the value comes from."""

    value: float
    words: str


@dataclass(frozen=True)
class Event:
    """An event of a video: frames [start, end), its highest score and the middle frame of that snippet.

    `label` is the class with the highest mean probability but normal, `probability` that mean; "" and None where the
    method does not classify.
    """

    video: str
    start: int
    end: int
    peak: int
    score: float
    label: str = ""
    probability: float | None = None


def threshold_of(value: float | None, per_hour: float | None, run: RunDirectory | None, fps: float) -> Threshold:
    """Return the threshold that was asked for: a value, or a rate of false alarms on the normal test videos of a run.

    `fps` are frames per second of those videos. Where neither is asked for, it is `RATE` if the run is at hand.

    Raises:
        UserError: both or an impossible value were given, or the rate cannot be had from this checkpoint.
    """
    if value is not None and per_hour is not None:
        raise UserError("give --threshold or --false-alarms-per-hour, not both")
    if value is not None:
        if not np.isfinite(value):
            raise UserError(f"--threshold {value}: expected a number")
        return Threshold(value, "as given")
    if per_hour is None and (run is None or not fps or not _normal(run)):
        return Threshold(FALSE_ALARM_THRESHOLD, "the usual one; nothing here calibrates it")
    per_hour = RATE if per_hour is None else per_hour
    if not per_hour >= 0:
        raise UserError(f"--false-alarms-per-hour {per_hour:g}: expected 0 or more")
    if run is None:
        raise UserError("--false-alarms-per-hour: needs the directory of the run that trained the checkpoint")
    if not fps:
        raise UserError(
            f"--false-alarms-per-hour: the card of {run.result.dataset} does not say frames per second (`fps`)"
        )
    truth = run.truth()
    found = threshold_at_rate(run.predictions(), truth, per_hour, fps)
    hours = sum(video.frames for video in truth.videos.values() if not video.abnormal) / fps / 3600
    allowed = int(per_hour * hours)
    return Threshold(
        found,
        f"{per_hour:g} false alarms an hour: {allowed:,} in the {hours:.2g} hours of normal test video of "
        f"{run.result.dataset}",
    )


def _normal(run: RunDirectory) -> bool:
    return any(not video.abnormal for video in run.truth().videos.values())


def find_events(
    video: str,
    scores: NDArray[Any],
    edges: NDArray[np.int64],
    threshold: float,
    classes: tuple[str, ...] = (),
    probabilities: NDArray[Any] | None = None,
) -> list[Event]:
    """Return the events of a video in order.

    Args:
        video: its name.
        scores: of its snippets, `[T]`.
        edges: frame edges of the snippets, `[T + 1]`.
        threshold: scores above it make an event.
        classes: names of the classes, normal first.
        probabilities: of the classes, `[T, K]`.
    """
    above = np.concatenate([[False], scores > threshold, [False]])
    bounds = np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2)
    found = []
    for first, last in bounds:
        best = int(first + np.argmax(scores[first:last]))
        label, probability = "", None
        if probabilities is not None and len(classes) > 1:
            means = probabilities[first:last].mean(axis=0)
            index = 1 + int(np.argmax(means[1:]))
            label, probability = classes[index], float(means[index])
        middle = int(edges[best] + edges[best + 1]) // 2
        found.append(Event(video, int(edges[first]), int(edges[last]), middle, float(scores[best]), label, probability))
    return found
