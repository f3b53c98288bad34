"""Metrics of any prediction file, against a data set or against the file's own labels. Nothing here trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.errors import UserError
from harness.metrics.alarms import Rated, rated
from harness.metrics.intervals import uncertainty
from harness.metrics.protocol import Evaluation, evaluate
from harness.metrics.saturation import saturation
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.scoring.files import ScoredFile, read_scores
from harness.scoring.lines import Line, class_lines, metric_lines
from harness.scoring.meeting import lengths, meet_annotations, meet_bank
from harness.scoring.own_labels import own_truth
from harness.scoring.rows import check_fit, describe, parse_rows, rows_of_videos

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ScoringRequest:
    """What `harness score` was asked for.

    Without `dataset` the file's own labels count. `root` holds annotation files to score by in place of an imported
    bank; `partial` scores what file and ground truth share; `rows` says what a row stands for. `fps` is needed for
    alarms where the card has none: at `thresholds`, and where false alarms come down to `rates` per hour. `given` are
    scores that no file holds; `path` only names them then.
    """

    path: Path
    dataset: str | None = None
    features: str | None = None
    root: Path | None = None
    partial: bool = False
    rows: str | None = None
    fps: float | None = None
    thresholds: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    iou: float = 0.5
    given: ScoredFile | None = None


@dataclass(frozen=True)
class Score:
    """What a file scored, and what a reader must know of it.

    `excluded`: test videos left out; `ignored`: videos of the file that are no test videos; `rows`: what its rows were
    read as, `unit`: what was counted, frames unless nothing tells how many a row is. `lines` are the metrics and
    `classes` the AUC of each class, with 95% intervals over videos, or why there is none. `undefined`: in a sentence,
    which metrics the labels leave undefined and why. `alarms` is empty where frames per second are not known.
    """

    evaluation: Evaluation
    lines: tuple[Line, ...]
    classes: tuple[Line, ...]
    undefined: str
    truth: str
    rows: str
    unit: str
    excluded: tuple[str, ...]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]
    fps: float
    alarms: tuple[Rated, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics as fractions, by name."""
        return dict(self.evaluation.metrics)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95% intervals over videos (low, high) of the metrics that have one, by name."""
        return {line.name: line.interval for line in self.lines if line.interval is not None}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric: its value and, where it has one, its interval over videos, as fractions."""
        import pandas as pd

        ends = {name: self.intervals.get(name, (None, None)) for name in self.metrics}
        rows = [(name, value, *ends[name]) for name, value in self.metrics.items()]
        frame: pd.DataFrame = pd.DataFrame(rows, columns=["metric", "value", "low", "high"])
        return frame


@dataclass(frozen=True)
class Test:
    """Predictions and ground truth of the same videos."""

    predictions: Predictions
    truth: GroundTruth
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def score_file(request: ScoringRequest) -> Score:
    """Score a prediction file.

    Raises:
        UserError: the file or an annotation file cannot be read, the two disagree, or an option is missing.
    """
    found = request.given or read_scores(request.path)
    if request.dataset is None:
        fps = request.fps or 0.0
        test = _by_own_labels(found, request)
    else:
        card = find_card(request.dataset)
        fps = request.fps or card.fps
        test = _by_data_set(found, card, request)
    if (request.thresholds or request.rates) and not fps:
        raise UserError(f"alarms per hour need the frames per second of {test.truth.dataset}; give --fps")
    pair = (test.predictions, test.truth)
    evaluation, unit, flat = evaluate(*pair), test.truth.unit, saturation(test.predictions.scores)
    known = uncertainty(*pair)
    return Score(
        evaluation=evaluation,
        lines=metric_lines(evaluation, known, test.truth),
        classes=class_lines(evaluation, known, test.truth),
        undefined=test.truth.undefined,
        truth=test.truth.dataset,
        rows=describe(test.predictions.alignment) if unit == "frames" else unit,
        unit=unit,
        excluded=test.truth.excluded,
        ignored=test.ignored,
        warnings=(*test.warnings, *_uncovered(evaluation, test.truth), *filter(None, [flat])),
        fps=fps,
        alarms=rated(*pair, request.thresholds, request.rates, fps, request.iou) if fps else (),
    )


def against_data_set(request: ScoringRequest) -> Test:
    """Return a file's predictions and the ground truth that they meet; `request.dataset` is given.

    Raises:
        UserError: as `score`.
    """
    assert request.dataset is not None
    return _by_data_set(read_scores(request.path), find_card(request.dataset), request)


def _by_own_labels(found: ScoredFile | Predictions, request: ScoringRequest) -> Test:
    given = [f"--{name}" for name in ("features", "root", "partial") if getattr(request, name)]
    if given:
        raise UserError(f"{given[0]}: belongs to a data set; name it with --dataset")
    if isinstance(found, Predictions):
        raise UserError(f"{request.path}: has no labels of its own; name the data set to score against with --dataset")
    truth, reason = own_truth(found, request.rows)
    if request.fps and (request.rows is None or truth.unit != "frames"):
        raise UserError("--fps: a row of a file with labels of its own may be any number of frames; add --rows NUMBER")
    predictions = replace(found, alignment=truth.alignment).predictions(truth.alignment, truth.classes)
    return Test(predictions, truth, warnings=tuple(filter(None, [reason])))


def _by_data_set(found: ScoredFile | Predictions, card: DatasetCard, request: ScoringRequest) -> Test:
    where = str(request.path)
    given = parse_rows(request.rows, card.alignment) if request.rows else None
    if isinstance(found, Predictions):
        if given not in (None, found.alignment):
            raise UserError(f"--rows {request.rows}: {where} says that its rows are {describe(found.alignment)}")
        given = found.alignment
    else:
        given = given or found.alignment
    path, features, partial = request.path, request.features, request.partial
    if request.root is None:
        meeting = meet_bank(found, card, path, features, partial)
    else:
        meeting = meet_annotations(found, card, path, features, partial, request.root, given)
    frames = {name: video.frames for name, video in meeting.truth.videos.items()}
    rows = lengths(found, meeting.places)
    alignment = rows_of_videos(rows, frames, card.alignment, where, given)
    check_fit(alignment, rows, frames, where, request.partial)
    warnings = meeting.warnings
    if isinstance(found, ScoredFile) and alignment.kind == "segments":
        warnings += _uneven(rows)
    truth = replace(meeting.truth, alignment=alignment)
    return Test(_chosen(found, meeting.places, truth), truth, meeting.ignored, warnings)


def _uneven(rows: Mapping[str, int]) -> tuple[str, ...]:
    counts = sorted(set(rows.values()))
    return (f"a video has {counts[0]} to {counts[-1]} segments, not always the same",) if len(counts) > 1 else ()


def _uncovered(evaluation: Evaluation, truth: GroundTruth) -> tuple[str, ...]:
    rest = truth.frames - evaluation.frames
    return (f"{rest:,} frames at the ends of videos have no row and are not scored",) if rest else ()


def _chosen(found: ScoredFile | Predictions, places: Mapping[str, int], truth: GroundTruth) -> Predictions:
    """The scores of the videos in `places`, under the names of the data set."""
    if isinstance(found, ScoredFile):
        found = replace(found, alignment=truth.alignment).predictions(truth.alignment, truth.classes)
    kept = [found.rows(place) for place in places.values()]
    rows = np.concatenate([np.arange(own.start, own.stop) for own in kept])
    offsets = np.cumsum([0, *(own.stop - own.start for own in kept)], dtype=np.int64)
    probs = None if found.class_probs is None else found.class_probs[rows]
    return replace(found, videos=tuple(places), offsets=offsets, scores=found.scores[rows], class_probs=probs)
