"""What was found in one video: scores by snippet, and events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.detect.events import Event, find_events
from harness.detect.scorer import Scorer
from harness.records.extraction import VideoFacts


@dataclass(frozen=True, eq=False)
class Detection:
    """Scores `[T]` and class probabilities `[T, K]` (None: the method does not classify) of a video, and its events.

    Snippet i covers frames edges[i] .. edges[i + 1]. `fps` is 0 where it is not known; `path` is the video file, if it
    is at hand.
    """

    video: str
    scores: NDArray[Any]
    edges: NDArray[np.int64]
    classes: tuple[str, ...]
    probabilities: NDArray[Any] | None
    events: list[Event]
    fps: float
    path: Path | None = None

    @property
    def peak(self) -> float:
        """The highest score."""
        return float(self.scores.max())

    def seconds(self, frame: int) -> float | None:
        """When a frame is shown, None where the frames per second are not known."""
        return frame / self.fps if self.fps else None


def detect_in(
    scorer: Scorer,
    name: str,
    features: NDArray[Any],
    threshold: float,
    facts: VideoFacts | None = None,
    path: Path | None = None,
) -> Detection:
    """Score a video by its features `[T, C, D]` and find its events; raises UserError, see `Scorer.score`."""
    found = scorer.score(name, features)
    frames = facts.frames if facts else len(features) * scorer.stride
    edges = found.alignment.edges(len(found.scores), frames)
    classes = found.classes if found.class_probs is not None else ()
    events = find_events(name, found.scores, edges, threshold, classes, found.class_probs)
    fps = facts.fps if facts else scorer.card.fps
    return Detection(name, found.scores, edges, classes, found.class_probs, events, fps, path)
