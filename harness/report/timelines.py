"""Scores over time of a few test videos, one line per row of a board, beside the ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.predictions import Predictions
from harness.report.board import Board, Row
from harness.report.uncertainty import Artifact
from harness.truth import GroundTruth

# What keeps a page small: videos in all, normal ones among them, and score values of one board.
VIDEOS, NORMAL, VALUES = 24, 4, 120_000


def timelines(board: Board, artifact: Artifact) -> dict[str, Any]:
    """Return the JSON-ready scores of the chosen videos, averaged over the seeds of each row, to 3 decimals.

    `chosen` says in words which videos these are; `videos` holds per video its frames, classes, events
    [start, end, class], snippet edges in frames, and one list of scores per row (None where a row's are not there).
    """
    try:
        truth = GroundTruth.load(artifact(board.rows[0].members[0], "truth.json"))
    except HarnessError as error:
        return {"chosen": f"Ground truth is not there: {error}", "videos": []}
    scores = [_mean_scores(row, artifact) for row in board.rows]
    first = next((each for each in scores if each), {})
    chosen = choose(truth, {name: len(values) for name, values in first.items()}, max(len(board.rows), 1))
    videos = []
    for name in chosen:
        video = truth.videos[name]
        edges = truth.alignment.edges(len(first[name]), video.frames)
        series = [each.get(name) for each in scores]
        videos.append(
            {
                "name": name,
                "frames": video.frames,
                "classes": [truth.classes[label] for label in video.labels],
                "events": [
                    [event.start, min(event.end, video.frames), truth.classes[event.label]] for event in video.events
                ],
                "edges": edges.tolist(),
                "scores": [
                    None if one is None or len(one) != len(edges) - 1 else [round(float(v), 3) for v in one]
                    for one in series
                ],
            }
        )
    return {"chosen": _statement(len(chosen), truth), "videos": videos}


def choose(truth: GroundTruth, snippets: dict[str, int], rows: int) -> list[str]:
    """Return the names of up to `VIDEOS` videos, chosen without a look at any score.

    Classes take turns, each giving its videos in the test list's order, after the normal class gave `NORMAL`; a video
    that would exceed `VALUES` score values in all is passed over.
    """
    by_class: dict[int, list[str]] = {}
    for name, video in truth.videos.items():
        if name in snippets:
            by_class.setdefault(video.labels[0] if video.labels else 0, []).append(name)
    normal = by_class.pop(0, [])[:NORMAL]
    turns: Iterable[tuple[str | None, ...]] = zip_longest(*(by_class[label] for label in sorted(by_class)))
    abnormal = [name for turn in turns for name in turn if name is not None]
    left, chosen = VALUES, list[str]()
    for name in [*normal, *abnormal]:
        if len(chosen) < VIDEOS and snippets[name] * rows <= left:
            chosen.append(name)
            left -= snippets[name] * rows
    return sorted(chosen, key=lambda name: (not truth.videos[name].abnormal, truth.videos[name].labels, name))


def _statement(count: int, truth: GroundTruth) -> str:
    if count == len(truth.videos):
        return f"All {count} test videos."
    return (
        f"{count} of {len(truth.videos)} test videos: {NORMAL} normal ones, then the abnormal classes in turn, each in "
        "the test list's order, chosen without a look at any score; very long videos are passed over."
    )


def _mean_scores(row: Row, artifact: Artifact) -> dict[str, NDArray[np.float64]]:
    """Snippet scores by video, averaged over the row's seeds; empty if predictions are missing or differ in length."""
    try:
        loaded = [Predictions.load(artifact(member, "predictions.npz")) for member in row.members]
    except HarnessError:
        return {}
    first = loaded[0]
    if any(p.videos != first.videos or (p.offsets != first.offsets).any() for p in loaded):
        return {}
    mean = np.stack([p.scores for p in loaded]).astype(np.float64).mean(axis=0)
    return {name: mean[first.rows(index)] for index, name in enumerate(first.videos)}
