"""`harness.score`: metrics of any scores, from a file, a data frame or arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import UserError
from harness.scoring import score as scoring
from harness.scoring.files import ScoredFile, table_scores
from harness.scoring.score import Score, ScoringRequest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Score", "score"]

# What errors call scores that came from no file.
_GIVEN = Path("scores")


def score(
    scores: str | Path | pd.DataFrame | Mapping[str, ArrayLike],
    dataset: str | None = None,
    *,
    features: str | None = None,
    root: str | Path | None = None,
    partial: bool = False,
    rows: str | None = None,
    fps: float | None = None,
) -> Score:
    """Score predictions by a data set's protocol, or by labels of their own, as `harness score` does.

    Args:
        scores: a prediction file; a data frame with the columns of one (video_id, pred, and gt if there is no data
            set); or video -> scores `[T]`.
        dataset: name of the data set or path of its card.
        features: its feature set.
        root: directory of the card's annotation files, in place of an imported data set.
        partial: score the videos that scores and data set share.
        rows: what a row stands for ("frames", a number of frames, "segments"), where it is not plain.
        fps: frames per second, for alarms, where the card has none.

    Raises:
        UserError: the scores cannot be read, or do not fit the data set.
    """
    given = None if isinstance(scores, (str, Path)) else _in_memory(scores)
    path = Path(scores) if isinstance(scores, (str, Path)) else _GIVEN
    place = None if root is None else Path(root)
    return scoring.score_file(ScoringRequest(path, dataset, features, place, partial, rows, fps, given=given))


def _in_memory(scores: pd.DataFrame | Mapping[str, ArrayLike]) -> ScoredFile:
    if not isinstance(scores, Mapping):
        return table_scores(_GIVEN, scores, first_line=0)
    parts = [np.asarray(values, dtype=np.float64) for values in scores.values()]
    for name, values in zip(scores, parts, strict=True):
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise UserError(f"scores of {name!r}: {list(values.shape)}, expected finite numbers [T], T at least 1")
    if not parts:
        raise UserError("scores: no video, expected video -> scores [T]")
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in parts])]).astype(np.int64)
    return ScoredFile(_GIVEN, tuple(map(str, scores)), offsets, np.concatenate(parts))
