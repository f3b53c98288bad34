"""Scores of one video over time, one line per run, with the annotated events: as a paper prints them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.drawing.canvas import Canvas, width_of
from harness.errors import UserError
from harness.names import meant
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.site.plots import Axis
from harness.report.site.run_scores import start

# Okabe and Ito's, told apart with any kind of colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07c00", "#3b9bd6", "#7f8790")
_EVENT = "#f6dccb"
WIDTH, HEIGHT = 460.0, 170.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 8.0, 8.0, 30.0


def chosen_video(asked: str | None, runs: Sequence[Predictions], truth: GroundTruth) -> str:
    """Return the video that is meant; without one, that on which a page of the site opens, see `start`.

    Raises:
        UserError: it is no test video that all runs have scores for.
    """
    there = [name for name in truth.videos if all(name in run.videos for run in runs)]
    if asked is None and there:
        lines = [[run[name].astype(np.float64) if name in there else None for name in truth.videos] for run in runs]
        return list(truth.videos)[start(lines, truth)]
    if asked not in there:
        hint = meant(asked or "", there) or f"such as {', '.join(there[:3])}"
        raise UserError(f"--video {asked}: no test video of {truth.dataset} that all these runs have; {hint}")
    assert asked is not None
    return asked


def draw_scores(runs: Sequence[tuple[str, Predictions]], truth: GroundTruth, video: str, fps: float = 0) -> Canvas:
    """Return the figure; the score axis goes from the lowest to the highest score that is drawn.

    Args:
        runs: name and predictions of each line.
        truth: what the events are taken from.
        video: a test video that all runs have.
        fps: frames per second, for an axis in seconds; 0: frames.
    """
    own = truth.videos[video]
    rate, unit = (fps, "seconds") if fps else (1.0, "frame")
    x = Axis(unit, 0, own.frames / rate)
    scores = [(name, np.asarray(predictions[video], dtype=np.float64), predictions) for name, predictions in runs]
    y = Axis.around("score", [end for _, values, _ in scores for end in (values.min(), values.max())])
    rows = _key_rows([name for name, _ in runs])
    canvas = Canvas(WIDTH, HEIGHT + 13 * len(rows))

    def place(across: float, up: float) -> tuple[float, float]:
        return (
            _LEFT + x.share(across) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - y.share(up) * (HEIGHT - _TOP - _BOTTOM),
        )

    for event in own.events:
        left, right = (place(min(end, own.frames) / rate, y.low)[0] for end in (event.start, event.end))
        canvas.area(left, _TOP, right - left, HEIGHT - _TOP - _BOTTOM, _EVENT)
    for value, text in x.ticks():
        at, bottom = place(value, y.low)
        canvas.line([(at, bottom), (at, bottom + 3)], width=0.7)
        canvas.words(at, bottom + 12, text, anchor="middle")
    for value, text in y.ticks():
        _, at = place(x.low, value)
        canvas.line([(_LEFT - 3, at), (_LEFT, at)], width=0.7)
        canvas.words(_LEFT - 5, at + 2.8, text, anchor="end")
    canvas.line([(_LEFT, _TOP), (_LEFT, HEIGHT - _BOTTOM), (WIDTH - _RIGHT, HEIGHT - _BOTTOM)], width=0.7)
    canvas.words((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 5, x.label, anchor="middle")
    canvas.words(9, (_TOP + HEIGHT - _BOTTOM) / 2, y.label, anchor="middle", turned=True)
    for number, (_, values, predictions) in enumerate(scores):
        edges = predictions.alignment.edges(len(values), own.frames) / rate
        steps = [place(edge, value) for at, value in enumerate(values) for edge in edges[at : at + 2]]
        canvas.line(steps, *_style(number))
    for row, names in enumerate(rows):
        at = _LEFT
        for number, name in names:
            height = HEIGHT + 4 + 13 * row
            canvas.line([(at, height), (at + 16, height)], *_style(number))
            canvas.words(at + 20, height + 2.8, name)
            at += 34 + width_of(name, 8)
    return canvas


def _style(number: int) -> tuple[str, float, tuple[float, ...]]:
    dashes: tuple[tuple[float, ...], ...] = ((), (5, 3), (1.5, 2))
    return COLOURS[number % len(COLOURS)], 1.2, dashes[number // len(COLOURS) % len(dashes)]


def _key_rows(names: Sequence[str]) -> list[list[tuple[int, str]]]:
    """The names with their numbers, as many in a line as fit."""
    rows: list[list[tuple[int, str]]] = [[]]
    used = _LEFT
    for number, name in enumerate(names):
        width = 34 + width_of(name, 8)
        if rows[-1] and used + width > WIDTH:
            rows.append([])
            used = _LEFT
        rows[-1].append((number, name))
        used += width
    return rows
