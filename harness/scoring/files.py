"""Prediction files of any program: npz of ours, CSV or parquet tables, or a directory of text files.

A table has one row per snippet: the video (`video_id` or `video`), the score (`pred` or `score`), and, where the
file brings its own labels, `gt` (0 and 1, or false and true). A column `segment` says that the rows of a video are
uniform segments of it. A CSV may have semicolons or tabs between its fields, and then a comma in its numbers.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth

if TYPE_CHECKING:
    import pandas as pd

_VIDEO, _SCORE = ("video_id", "video"), ("pred", "score")


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """Scores by video, in the order of the file, and the labels that the file itself brings.

    `alignment` is what the file says of it: None for rows that may be anything. `labels` `[N]` 0 or 1 per row.
    """

    path: Path
    videos: tuple[str, ...]
    offsets: NDArray[np.int64]
    scores: NDArray[np.float64]
    alignment: Alignment | None = None
    labels: NDArray[np.int64] | None = None

    def predictions(self, alignment: Alignment, classes: tuple[str, ...]) -> Predictions:
        """The scores as predictions; `alignment` counts where the file says none."""
        return Predictions(self.videos, self.offsets, self.scores, self.alignment or alignment, classes)

    def own_truth(self, frames_per_row: int = 1, unit: str = "rows") -> GroundTruth:
        """Ground truth from the file's own labels: every row counts as `frames_per_row` of what `unit` names.

        Raises:
            UserError: the file has no labels.
        """
        if self.labels is None:
            raise UserError(f"{self.path}: has no column gt; name the data set to score against with --dataset")
        videos = {}
        for index, name in enumerate(self.videos):
            own = self.labels[self.offsets[index] : self.offsets[index + 1]]
            steps = np.flatnonzero(np.diff(np.concatenate([[0], own, [0]])))
            edges = (steps * frames_per_row).tolist()
            events = tuple(Event(start, end, 1) for start, end in zip(edges[::2], edges[1::2], strict=True))
            videos[name] = VideoTruth(len(own) * frames_per_row, (1,) if events else (0,), events)
        alignment = Alignment(kind="stride", stride=frames_per_row)
        return GroundTruth(self.path.name, ("normal", "abnormal"), alignment, videos, unit=unit)


def read_scores(path: Path) -> ScoredFile | Predictions:
    """Return what a prediction file holds.

    Raises:
        UserError: the file is missing, damaged or lacks a column; a score is no finite number; a label is not 0 or 1.
    """
    if path.is_dir():
        return _text_files(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; expected npz, parquet, CSV or a directory of text files")
    name = path.name.lower()
    if name.endswith(".npz"):
        return Predictions.load(path)
    if name.endswith((".parquet", ".pq")):
        return table_scores(path, _read(path, "parquet"), first_line=1)
    if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
        return table_scores(path, _read(path, "csv"), first_line=2)
    raise UserError(f"{path}: unknown kind of prediction file; expected .npz, .parquet, .csv or .csv.gz")


def _read(path: Path, kind: str) -> pd.DataFrame:
    import pandas as pd

    try:
        if kind == "parquet":
            table = pd.read_parquet(path)
            for _, column in table.items():
                column.to_numpy()  # text that is no UTF-8 shows only now
            return table
        separator = _separator(path)
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
        table.columns = table.columns.str.strip()
        if separator == ";":  # as spreadsheets write numbers where the comma is the decimal sign
            for name in {*_SCORE, "segment"} & {*table.columns}:
                table[name] = table[name].str.replace(",", ".", regex=False)
        return table
    # pandas, pyarrow and gzip fail in many ways on foreign bytes; all mean the same to the user.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable {kind} file ({reason})") from error


def _separator(path: Path) -> str:
    """What stands between the fields of a CSV file, by its first line."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as stream:
        head = stream.readline(10_000)
    usual = "\t,;" if ".tsv" in path.name.lower() else ",;\t"
    return next((separator for separator in usual if separator in head), ",")


def table_scores(path: Path, table: pd.DataFrame, first_line: int) -> ScoredFile:
    """Return the scores of a table; `path` and `first_line`, the number of its first row, are for messages.

    Raises:
        UserError: as `read_scores`.
    """
    import pandas as pd

    video, score = _column(path, table, _VIDEO), _column(path, table, _SCORE)
    if not len(table):
        raise UserError(f"{path}: holds no row")
    nameless = np.flatnonzero(table[video].isna() | (table[video] == ""))
    if len(nameless):
        raise UserError(f"{path}:{first_line + nameless[0]}: {video} is empty, expected the name of a video")
    # Videos in the order of their first row.
    rank, names = pd.factorize(table[video].astype(str).to_numpy(dtype=object))
    scores = _numbers(path, table[score], score, first_line)
    labels = None
    if "gt" in table:
        labels = _numbers(path, _truth_values(table["gt"]), "gt", first_line, "0 or 1")
        bad = np.flatnonzero((labels != 0) & (labels != 1))
        if len(bad):
            raise UserError(f"{path}:{first_line + bad[0]}: gt is {labels[bad[0]]:g}, expected 0 or 1")
    counts = np.bincount(rank)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    segmented = "segment" in table
    if segmented:
        place = _numbers(path, table["segment"], "segment", first_line)
        order = np.lexsort((place, rank))
        # Segments count from 0 or from 1; a missing or repeated one would shift all later ones.
        expected = np.arange(len(order)) - np.repeat(offsets[:-1], counts) + (place.min() == 1)
        wrong = np.flatnonzero(place[order] != expected)
        if len(wrong):
            row = order[wrong[0]]
            raise UserError(
                f"{path}:{first_line + row}: segment {place[row]:g} of {names[rank[row]]}, expected "
                f"{expected[wrong[0]]:g}; every video needs its segments once each, counted from 0 or 1"
            )
    else:
        order = np.argsort(rank, kind="stable")
    return ScoredFile(
        path=path,
        videos=tuple(names.tolist()),
        offsets=offsets,
        scores=scores[order],
        alignment=Alignment(kind="segments") if segmented else None,
        labels=None if labels is None else labels[order].astype(np.int64),
    )


def _column(path: Path, table: pd.DataFrame, names: tuple[str, ...]) -> str:
    found = [name for name in names if name in table]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{path}: both columns {' and '.join(names)}; leave one")
    columns = list(map(str, table.columns))
    what = "which names the video of each row" if names == _VIDEO else "the score of each row"
    others = [column for column in columns if column not in (*_VIDEO, *_SCORE, "gt", "segment")]
    near = next((column for column in others if any(name in column.lower() for name in names)), "")
    hint = f" (if {near} is it, rename it)" if near else ""
    raise UserError(
        f"{path}: no column {' or '.join(names)}, {what}{hint}; it has {', '.join(columns)[:200]}; expected a first "
        "line such as video_id,pred or video_id,pred,gt"
    )


def _truth_values(labels: pd.Series[Any]) -> pd.Series[Any]:
    """Labels with the words false and true, in any case, as 0 and 1."""
    words = labels.astype(str).str.strip().str.lower().map({"false": 0, "true": 1})
    readable: pd.Series[Any] = labels.where(words.isna(), words)
    return readable


def _numbers(
    path: Path, column: pd.Series[Any], name: str, first_line: int, expected: str = "a finite number"
) -> NDArray[np.float64]:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        text = column.iloc[bad[0]]
        raise UserError(f"{path}:{first_line + bad[0]}: {name} is {text!r}, expected {expected}")
    return values


def _text_files(path: Path) -> ScoredFile:
    """One text file per video, one score per line: uniform segments, as Sultani et al. published theirs."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".txt" and file.is_file())
    if not files:
        raise UserError(f"{path}: holds no .txt file; expected one per video, a score in each line")
    first: dict[str, Path] = {}
    for file in files:
        if first.setdefault(file.stem, file) != file:
            raise UserError(f"{file}: video {file.stem} has scores in {first[file.stem]} as well; keep one")
    scores = []
    for file in files:
        words = file.read_text(encoding="utf-8", errors="replace").split()
        try:
            values = np.array([float(word) for word in words])
        except ValueError as error:
            raise UserError(f"{file}: {error}; expected one score per line") from error
        if not len(values) or not np.isfinite(values).all():
            raise UserError(f"{file}: {'a score is not finite' if len(values) else 'holds no score'}")
        scores.append(values)
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in scores])]).astype(np.int64)
    names = tuple(file.stem for file in files)
    return ScoredFile(path, names, offsets, np.concatenate(scores), Alignment(kind="segments"))
