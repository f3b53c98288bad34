"""Scores of a video while it is being recorded: each snippet is scored as soon as its frames are there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.detect.scorer import Scorer
from harness.records.protocol import Protocol
from harness.video.arriving import arriving_rows
from harness.video.decode import Frames
from harness.video.extract import Setup, computing

# Of a method that looks back, as many snippets as it is given, counted from the newest: at 16 frames of 25 a second
# more than 20 minutes.
_BACK = 2048
_PROBE = 12

Needs = Literal["snippet", "past", "whole"]


@dataclass(frozen=True)
class ScoredSnippet:
    """A snippet that was just scored: its index, score, class probabilities `[K]`, and seconds from its last frame."""

    index: int
    score: float
    probabilities: NDArray[Any] | None
    latency: float


def needs_of(scorer: Scorer) -> Needs:
    """Return what a snippet's score depends on: the "snippet" alone, the "past", or the "whole" video.

    Tried on drawn features: a score that changes when later snippets come looks ahead.
    """
    random = np.random.default_rng(0)
    features = random.standard_normal((_PROBE, 1, scorer.header.dim)).astype(np.float32)
    whole = scorer.score("probe", features).scores

    def same(first: int, end: int) -> bool:
        part = scorer.score("probe", features[first:end]).scores
        return bool(np.allclose(part, whole[first:end], rtol=1e-4, atol=1e-6))

    if not (same(0, 1) and same(0, 5)):
        return "whole"
    return "snippet" if same(4, 5) and same(_PROBE - 1, _PROBE) else "past"


def stream(frames: Clocked, scorer: Scorer, protocol: Protocol, setup: Setup, needs: Needs) -> Iterator[ScoredSnippet]:
    """Yield each snippet of a video as it comes, scored by what has been seen until then.

    Args:
        frames: of the video, in order; its `grab` waits.
        scorer: what scores.
        protocol: of its features.
        setup: the image tower and where it computes.
        needs: what `needs_of` found.
    """
    rows: list[NDArray[np.float32]] = []
    with computing(setup):
        for index, row in enumerate(arriving_rows(frames, protocol, setup.tower, setup.pictures)):
            rows.append(row)
            del rows[: -(1 if needs == "snippet" else _BACK)]
            found = scorer.score("stream", np.stack(rows))
            probabilities = None if found.class_probs is None else found.class_probs[-1]
            yield ScoredSnippet(index, float(found.scores[-1]), probabilities, time.perf_counter() - frames.at)


class Clocked:
    """Frames that know when the newest of them came."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.at = time.perf_counter()
        self.count = 0

    def grab(self) -> bool:
        """Go to the next frame; False at the end."""
        if not self._frames.grab():
            return False
        self.at, self.count = time.perf_counter(), self.count + 1
        return True

    def retrieve(self) -> Any:
        """Return the frame that was grabbed last."""
        return self._frames.retrieve()
