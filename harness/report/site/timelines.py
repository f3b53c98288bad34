"""Scores over time of every test video, one line per row of a board, in parts that a page loads one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.quoting import script_json
from harness.report.site.run_scores import most_moving, movement
from harness.report.site.thinned import Values, characters, starts, thinned

# What keeps a video's part small: longer ones are drawn by means over adjacent snippets.
SCORES, PROBABILITIES = 1200, 240


@dataclass(frozen=True, eq=False)
class Timelines:
    """The score timelines of a board: `index` for the page, and per video the JSON of its part.

    `lines` are what `line` returned of each row, None of one whose scores are not here; `names` what the page calls it.
    """

    truth: GroundTruth
    lines: Sequence[Mapping[str, Any] | None]
    names: Sequence[str]

    @property
    def index(self) -> dict[str, Any]:
        """JSON-ready: the rows, the classes, and the videos with frames and classes, in the test list's order.

        `low` and `high` of a row are the ends between which its thousandths lie; `start` is the video to begin with.
        """
        moves = [np.array(line["movement"]) for line in self.lines if line is not None]
        return {
            "rows": [
                {"name": name, "there": line is not None, "scaled": bool(line and line["scaled"]),
                 **({"low": line["low"], "high": line["high"]} if line else {}),
                 "classes": line is not None and line["classes"]}
                for name, line in zip(self.names, self.lines, strict=True)
            ],
            "classes": self.truth.classes,
            "start": most_moving(moves, self.truth),
            "videos": [
                {"name": name, "frames": video.frames, "classes": [self.truth.classes[label] for label in video.labels]}
                for name, video in self.truth.videos.items()
            ],
        }  # fmt: skip

    def parts(self) -> Iterator[str]:
        """Yield one script per video, in the order of `index`."""
        for number in range(len(self.truth.videos)):
            yield f"harnessVideo({script_json({'number': number, **self._part(number)})});\n"

    def _part(self, number: int) -> dict[str, Any]:
        """Events [start, end, class], edges in frames, scores in thousandths of a row's range, probabilities."""
        video = list(self.truth.videos.values())[number]
        found: dict[str, Any] = {
            "events": [[e.start, min(e.end, video.frames), self.truth.classes[e.label]] for e in video.events]
        }

        @cache
        def places(snippets: int, most: int) -> list[int]:
            """Edges in frames between which at most so many values lie."""
            edges = self.truth.alignment.edges(snippets, video.frames)
            return [*edges[starts(snippets, most)].tolist(), int(edges[-1])]

        scores: list[list[int] | None] = []
        probs: list[list[str] | None] = []
        for line in self.lines:
            scores.append(None)
            probs.append(None)
            if line is None or line["videos"][number] is None:
                continue
            snippets, values, columns = line["videos"][number]
            # A row that cuts this video otherwise has no place on the others' axis.
            if found.setdefault("edges", places(snippets, SCORES)) == places(snippets, SCORES):
                scores[-1] = values
                if columns is not None:
                    found["probabilityEdges"] = places(snippets, PROBABILITIES)
                    probs[-1] = columns
        return {**found, "scores": scores, "probabilities": probs}


def line(loaded: Sequence[Predictions], truth: GroundTruth) -> dict[str, Any] | None:
    """Return what a page draws of one row, the means over its seeds, JSON-ready; None where they do not fit together.

    Scores are `scaled` to 0..1 where they leave that range; `low` and `high` are their ends. `movement` is how much
    each video varies, see `most_moving`. Of each of the `videos`, None where it has no score: how many snippets,
    scores in thousandths between the ends, and the characters of each class, None without `classes`.
    """
    first = loaded[0]
    if any(p.videos != first.videos or (p.offsets != first.offsets).any() for p in loaded):
        return None
    scores = np.asarray(np.mean([p.scores for p in loaded], axis=0, dtype=np.float64))
    scaled = bool(len(scores)) and bool(scores.min() < 0 or scores.max() > 1)
    if scaled:
        scores = (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)
    given = [p.class_probs for p in loaded if p.class_probs is not None and p.classes == truth.classes]
    probs = np.asarray(np.mean(given, axis=0, dtype=np.float64)) if len(given) == len(loaded) else None
    probs = None if probs is None or not np.isfinite(probs).all() else probs
    low, high = (float(f"{end:.6g}") for end in (scores.min(), scores.max())) if len(scores) else (0.0, 1.0)
    place = {name: index for index, name in enumerate(first.videos)}
    rows = [first.rows(place[name]) if name in place else None for name in truth.videos]
    return {
        "scaled": scaled,
        "low": low,
        "high": high,
        "classes": probs is not None,
        "movement": movement([None if own is None else scores[own] for own in rows]).tolist(),
        "videos": [
            None
            if own is None or own.start == own.stop
            else (own.stop - own.start, _thousandths(scores[own], low, high), _columns(probs, own))
            for own in rows
        ],
    }


def _thousandths(scores: Values, low: float, high: float) -> list[int]:
    means = thinned(scores, SCORES)
    share = (means - low) / (high - low) if high > low else np.zeros(len(means))
    found: list[int] = np.rint(1000 * np.clip(share, 0, 1)).astype(int).tolist()
    return found


def _columns(probs: Values | None, own: slice) -> list[str] | None:
    if probs is None:
        return None
    return [characters(column) for column in thinned(probs[own], PROBABILITIES).T]
