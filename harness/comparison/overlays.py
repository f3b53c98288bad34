"""The videos that separate two sides: both scores over time, beside the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.comparison.result import PairVideos
from harness.comparison.statistics import Side
from harness.metrics.frame import Floats, Ints, snippet_table
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth, VideoTruth


def overlays(pairs: Sequence[PairVideos], sides: Sequence[Side], truth: GroundTruth) -> list[Any]:
    """Return, JSON-ready, the shown videos of every pair, gains first, scores averaged over seeds, to 3 decimals.

    Per video: `frames`, `classes`, `events` [start, end, class], `edges` in frames, and two `lines`, A's and B's, each
    with `scores` and `ranks` (share of all test frames that score lower, ties half) on the steps between the edges,
    None where no snippet covers a step. A side whose seeds have other snippets has no line.
    """
    lines = {side.name: _Line.of(side, truth) for side in sides}
    return [
        [_overlay(name, truth.videos[name], truth, lines[pair.a], lines[pair.b]) for name, _ in pair.shown]
        for pair in pairs
    ]


@dataclass(frozen=True, eq=False)
class _Line:
    """A side's mean scores, and the rank among all test frames of every score `[distinct]`."""

    predictions: Predictions
    place: Mapping[str, int]
    distinct: Floats
    ranks: Floats

    @classmethod
    def of(cls, side: Side, truth: GroundTruth) -> _Line | None:
        first = side.predictions[0]
        for other in side.predictions[1:]:
            if other.videos != first.videos or not np.array_equal(other.offsets, first.offsets):
                return None
        scores = np.mean([each.scores.astype(np.float64) for each in side.predictions], axis=0)
        mean = replace(first, scores=scores, class_probs=None)
        table = snippet_table(mean, replace(truth, alignment=mean.alignment))
        distinct, group = np.unique(table.scores, return_inverse=True)
        frames = np.bincount(group, table.positives + table.negatives)
        ranks = (np.cumsum(frames) - frames / 2) / max(frames.sum(), 1)
        return cls(mean, {name: index for index, name in enumerate(mean.videos)}, distinct, ranks)

    def edges(self, name: str, frames: int) -> Ints:
        rows = self.predictions.rows(self.place[name])
        return self.predictions.alignment.edges(rows.stop - rows.start, frames)

    def steps(self, name: str, frames: int, at: Ints) -> dict[str, list[float | None]]:
        """Scores and ranks of the snippets that cover the frames `at`."""
        own = self.predictions.scores[self.predictions.rows(self.place[name])]
        snippet = np.searchsorted(self.edges(name, frames), at, side="right") - 1
        covered = snippet < len(own)
        scores = own[np.minimum(snippet, max(len(own) - 1, 0))] if len(own) else np.zeros(len(at))
        ranks = self.ranks[np.minimum(np.searchsorted(self.distinct, scores), len(self.ranks) - 1)]
        return {
            key: [round(float(value), 3) if there else None for value, there in zip(values, covered, strict=True)]
            for key, values in (("scores", scores), ("ranks", ranks))
        }


def _overlay(name: str, video: VideoTruth, truth: GroundTruth, *pair: _Line | None) -> dict[str, Any]:
    ends = [line.edges(name, video.frames) for line in pair if line]
    edges = np.unique(np.concatenate([[0, video.frames], *ends]))
    return {
        "name": name,
        "frames": video.frames,
        "classes": [truth.classes[label] for label in video.labels],
        "events": [[event.start, min(event.end, video.frames), truth.classes[event.label]] for event in video.events],
        "edges": edges.tolist(),
        "lines": [line and line.steps(name, video.frames, edges[:-1]) for line in pair],
    }
