"""How early an event is found: delay, and the share of events found before half of them has passed.

A snippet's score is there when its last frame is. The threshold is set on the normal test videos: the lowest at which
at most a stated share of their frames raises a false alarm. Ours to define: the field has no accepted protocol.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.frame import Floats, Ints, snippet_frames
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth

# Share of the frames of normal videos that may lie above the threshold.
FALSE_ALARMS = 0.05


def early(predictions: Predictions, truth: GroundTruth, fps: float) -> dict[str, float]:
    """Return how early events are found at a threshold with 5% false alarms; {} without normal videos or events.

    - `early_found`: share of the events with a snippet above the threshold that ends before the event does, or holds
      its end.
    - `early_before_half`: share of the events whose first such snippet ends before half of the event has passed.
    - `early_delay_seconds`: median time from an event's start to the end of its first such snippet; an event that is
      not found counts with its whole length. Only where `fps`, frames per second, is not 0.

    Raises:
        UserError: the predictions are not of this test set.
    """
    frames = snippet_frames(predictions, truth)
    scores = predictions.scores[frames.row].astype(np.float64)
    normal = np.array([video.normal for video in truth.videos.values()], dtype=bool)
    quiet = normal[frames.video]
    if not quiet.any() or not any(video.events for video in truth.videos.values()):
        return {}
    above = scores > threshold(scores[quiet], (frames.end - frames.start)[quiet], FALSE_ALARMS)
    edges = np.searchsorted(frames.video, np.arange(len(truth.videos) + 1))
    waited, lasted = [], []
    for index, video in enumerate(truth.videos.values()):
        own = slice(edges[index], edges[index + 1])
        start, end = frames.start[own][above[own]], frames.end[own][above[own]]
        for event in video.events:
            until = min(event.end, video.frames)
            ends = end[(end > event.start) & (start < until)]
            lasted.append(until - event.start)
            waited.append(float(min(ends.min() - event.start, until - event.start)) if len(ends) else np.inf)
    delays, lengths = np.array(waited), np.array(lasted, dtype=np.float64)
    there = lengths > 0
    delays, lengths = delays[there], lengths[there]
    if not len(delays):
        return {}
    found = {
        "early_found": float(np.isfinite(delays).mean()),
        "early_before_half": float((delays <= lengths / 2).mean()),
    }
    if fps:
        found["early_delay_seconds"] = float(np.median(np.minimum(delays, lengths)) / fps)
    return found


def threshold(scores: Floats, frames: Ints, share: float) -> float:
    """Return the lowest score above which lies at most a share of the frames.

    Args:
        scores: `[N]`, of snippets.
        frames: `[N]`, how many frames each of them has.
        share: between 0 and 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, counted = scores[order], np.cumsum(frames[order])
    # Above a score lie the frames of all that are higher; those that tie with it do not.
    levels, first = np.unique(-ranked, return_index=True)
    over = np.append(0, counted)[first]
    allowed = over <= share * counted[-1]
    return float(-levels[np.flatnonzero(allowed)[-1]])
