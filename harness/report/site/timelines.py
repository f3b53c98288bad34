"""Scores over time of every test video, one line per row of a board, in parts that a page loads one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth, VideoTruth
from harness.report.leaderboard.board import Board
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.quoting import script_json
from harness.report.site.run_scores import run_scores, start
from harness.tracking.tracker import TrackedRun

# What keeps a video's part small: longer ones are drawn by means over adjacent snippets.
SCORES, PROBABILITIES = 1200, 240
# Class probabilities are written as one character each, from the first one on.
_FIRST, _LEVELS = 35, 90

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Line:
    """Means over a row's seeds: `scores` `[N]`, scaled to 0..1 where they leave that range, and `probs` `[N, K]`."""

    predictions: Predictions
    scores: Values
    probs: Values | None
    scaled: bool

    @cached_property
    def place(self) -> dict[str, int]:
        """The number of each video."""
        return {name: index for index, name in enumerate(self.predictions.videos)}

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest score, between which a page's thousandths lie."""
        if not len(self.scores):
            return 0.0, 1.0
        return float(f"{self.scores.min():.6g}"), float(f"{self.scores.max():.6g}")

    def rows(self, video: str) -> slice | None:
        """The rows of a video."""
        return self.predictions.rows(self.place[video]) if video in self.place else None


@dataclass(frozen=True, eq=False)
class Timelines:
    """The score timelines of a board: `index` for the page, and per video the JSON of its part.

    `runs` are the scores of single runs, by run id.
    """

    truth: GroundTruth
    lines: tuple[_Line | None, ...]
    names: tuple[str, ...]
    runs: dict[str, dict[str, Any]]

    @property
    def index(self) -> dict[str, Any]:
        """JSON-ready: the rows, the classes, and the videos with frames and classes, in the test list's order.

        `low` and `high` of a row are the ends between which its thousandths lie; `start` is the video to begin with.
        """
        scores = [[_scores(line, name) for name in self.truth.videos] for line in self.lines if line is not None]
        return {
            "rows": [
                {"name": name, "there": line is not None, "scaled": bool(line and line.scaled),
                 **({"low": line.ends[0], "high": line.ends[1]} if line else {}),
                 "classes": line is not None and line.probs is not None}
                for name, line in zip(self.names, self.lines, strict=True)
            ],
            "classes": self.truth.classes,
            "start": start(scores, self.truth),
            "videos": [
                {"name": name, "frames": video.frames, "classes": [self.truth.classes[label] for label in video.labels]}
                for name, video in self.truth.videos.items()
            ],
        }  # fmt: skip

    def parts(self) -> Iterator[str]:
        """Yield one script per video, in the order of `index`."""
        for number, (name, video) in enumerate(self.truth.videos.items()):
            part = {"number": number, **self._part(name, video)}
            yield f"harnessVideo({script_json(part)});\n"

    def _part(self, name: str, video: VideoTruth) -> dict[str, Any]:
        """Events [start, end, class], edges in frames, scores in thousandths of a row's range, probabilities."""
        found: dict[str, Any] = {
            "events": [[e.start, min(e.end, video.frames), self.truth.classes[e.label]] for e in video.events]
        }
        scores: list[list[int] | None] = []
        probs: list[list[str] | None] = []
        for line in self.lines:
            rows = None if line is None else line.rows(name)
            if line is None or rows is None or rows.start == rows.stop:
                scores.append(None)
                probs.append(None)
                continue
            edges = self.truth.alignment.edges(rows.stop - rows.start, video.frames)
            means, places = _thinned(line.scores[rows], edges, SCORES)
            # A row that cuts this video otherwise has no place on the others' axis.
            fits = found.setdefault("edges", places.tolist()) == places.tolist()
            low, high = line.ends
            share = (means - low) / (high - low) if high > low else np.zeros(len(means))
            scores.append(np.rint(1000 * np.clip(share, 0, 1)).astype(int).tolist() if fits else None)
            probs.append(None)
            if line.probs is not None and fits:
                means, places = _thinned(line.probs[rows], edges, PROBABILITIES)
                found["probabilityEdges"] = places.tolist()
                levels = np.rint(_LEVELS * np.clip(means, 0, 1)).astype(int) + _FIRST
                probs[-1] = ["".join(map(chr, column)) for column in levels.T]
        return {**found, "scores": scores, "probabilities": probs}


def timelines(board: Board, names: Sequence[str], truth: GroundTruth, artifact: Artifact) -> Timelines:
    """Return the timelines of a board's rows, which the page calls `names`."""
    runs: dict[str, dict[str, Any]] = {}
    lines = []
    for row in board.rows:
        loaded = [_loaded(member, artifact) for member in row.members]
        there = [each for each in loaded if each is not None]
        for member, predictions in zip(row.members, loaded, strict=True):
            if predictions is not None:
                runs[member.result.id] = run_scores(predictions, truth)
        lines.append(_line(there, truth) if len(there) == len(loaded) else None)
    return Timelines(truth, tuple(lines), tuple(names), runs)


def _loaded(run: TrackedRun, artifact: Artifact) -> Predictions | None:
    try:
        return Predictions.load(artifact(run, "predictions.npz"))
    except HarnessError:
        return None


def _line(loaded: Sequence[Predictions], truth: GroundTruth) -> _Line | None:
    """None where predictions differ in length between seeds or have other classes."""
    first = loaded[0]
    if any(p.videos != first.videos or (p.offsets != first.offsets).any() for p in loaded):
        return None
    scores = np.asarray(np.mean([p.scores for p in loaded], axis=0, dtype=np.float64))
    scaled = bool(len(scores)) and bool(scores.min() < 0 or scores.max() > 1)
    if scaled:
        scores = (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)
    given = [p.class_probs for p in loaded if p.class_probs is not None and p.classes == truth.classes]
    probs = np.asarray(np.mean(given, axis=0, dtype=np.float64)) if len(given) == len(loaded) else None
    return _Line(first, scores, None if probs is None or not np.isfinite(probs).all() else probs, scaled)


def _scores(line: _Line, video: str) -> Values | None:
    rows = line.rows(video)
    return None if rows is None else line.scores[rows]


def _thinned(values: Values, edges: NDArray[np.int64], most: int) -> tuple[Values, NDArray[np.int64]]:
    """Means over runs of adjacent snippets, so that at most `most` are left, and their edges in frames."""
    step = -(-len(values) // most)
    starts = np.arange(0, len(values), step)
    counts = np.diff(np.append(starts, len(values)))
    means = np.add.reduceat(values, starts, axis=0) / counts.reshape(-1, *[1] * (values.ndim - 1))
    return means, np.append(edges[starts], edges[-1])
