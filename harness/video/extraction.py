"""The directory that an extraction is: what its features are, one file of features and one of facts for each video.

<directory>/extraction.json       protocol, image tower, precision: what the features are
<directory>/features/NAME.npy     rows of a video, `[T, D]`, or `[T, C, D]` where the protocol cuts several crops
<directory>/videos/NAME.json      facts of the video file, number of rows, hash of its features; written last
<directory>/frame_counts.csv      `video,frames`, as dataset cards read it
<directory>/left_out.txt          videos that gave nothing, with the reason, where there are any
<directory>/crops/NAME__k.npy     the community's files, one for each crop, where they were asked for
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import Damaged, UserError
from harness.io.atomic import read_json, replacing, unwritable, write_json, write_text
from harness.io.digests import file_digest
from harness.io.npy import header
from harness.records.extraction import Recipe, VideoFacts, VideoRecord

HEADER = "extraction.json"
_AGAIN = "extract it again (`harness extract`)"


class Extraction:
    """A directory of features. Opening it reads what the features are; videos are read when they are asked for."""

    def __init__(self, directory: Path) -> None:
        """Open the extraction in `directory`; raises UserError where there is none, or it is damaged."""
        self.directory = directory
        if not (directory / HEADER).is_file():
            raise UserError(f"{directory}: no extraction here (no {HEADER}); run `harness extract` first")
        try:
            self.recipe = Recipe.model_validate(read_json(directory / HEADER))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise Damaged(f"{directory / HEADER}: not what was written ({reason}); {_AGAIN}") from error

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """Names of the finished videos, sorted."""
        return tuple(sorted(path.name.removesuffix(".json") for path in (self.directory / "videos").glob("[!.]*.json")))

    def record(self, video: str) -> VideoRecord:
        """Return what is known of a finished video; raises UserError or Damaged."""
        path = self.directory / "videos" / f"{video}.json"
        try:
            return VideoRecord.model_validate(read_json(path, _AGAIN))
        except ValidationError as error:
            raise Damaged(f"{path}: not what was written ({error.errors()[0]['msg']}); {_AGAIN}") from error

    def features(self, video: str) -> NDArray[Any]:
        """Return the rows of a video `[T, C, D]`, memory-mapped; raises Damaged where they are not what was written."""
        path = self.features_file(video)
        try:
            same = file_digest(path) == self.record(video).features
        except OSError as error:
            raise Damaged(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
        if not same:
            raise Damaged(f"{path}: not what was written; {_AGAIN}")
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array if array.ndim == 3 else array[:, None]

    def features_file(self, video: str) -> Path:
        """Path of a video's file of features."""
        return self.directory / "features" / f"{video}.npy"


def is_extraction(directory: Path) -> bool:
    """Whether `directory` was written by `harness extract`."""
    return (directory / HEADER).is_file()


class ExtractionWriter:
    """Writes an extraction; what an earlier, perhaps interrupted one of the same recipe finished is kept."""

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        """Begin or go on; raises UserError where the directory holds features of another recipe."""
        self.directory = directory
        self.recipe = recipe
        if is_extraction(directory):
            other = Extraction(directory).recipe
            if (other.digest, other.batch) != (recipe.digest, recipe.batch):
                raise UserError(
                    f"{directory}: holds features of another kind ({_kind(other)}); these would be {_kind(recipe)}; "
                    "choose another --to"
                )
        _tidy(directory)
        write_json(directory / HEADER, recipe.model_dump(mode="json"))
        self._open: dict[str, RowsFile] = {}

    def finished(self, video: str, path: Path) -> bool:
        """Whether a video's features are there and whole, made from the file as it is now."""
        opened = Extraction(self.directory)
        try:
            record = opened.record(video)
            return (
                file_digest(opened.features_file(video)) == record.features and file_digest(path) == record.facts.digest
            )
        except (UserError, OSError):
            return False

    @contextmanager
    def rows(self) -> Iterator[dict[str, RowsFile]]:
        """Yield the files under way by video; what is not finished at the end is removed."""
        try:
            yield self._open
        finally:
            for file in self._open.values():
                file.discard()
            self._open.clear()

    def add(self, video: str, values: NDArray[np.float32]) -> None:
        """Append a row `[C, D]` to a video."""
        if video not in self._open:
            self._open[video] = self._new(video, values.shape)
        self._open[video].append(values)

    def finish(self, video: str, facts: VideoFacts) -> VideoRecord:
        """Publish a video: its features, then its facts."""
        crops = len(self.recipe.protocol.crops.order)
        file = self._open.pop(video, None) or self._new(video, (crops, self.recipe.dim))
        rows = file.publish()
        features = file_digest(self.directory / "features" / f"{video}.npy")
        record = VideoRecord(facts=facts, rows=rows, features=features)
        write_json(self.directory / "videos" / f"{video}.json", record.model_dump(mode="json"))
        return record

    def drop(self, video: str) -> None:
        """Forget the rows of a video that turned out damaged, also those of the file that was there before."""
        if file := self._open.pop(video, None):
            file.discard()
        for folder, end in (("videos", "json"), ("features", "npy")):
            (self.directory / folder / f"{video}.{end}").unlink(missing_ok=True)

    def conclude(self, left_out: dict[str, str]) -> None:
        """Write the frame counts of all finished videos, and why others were left out."""
        opened = Extraction(self.directory)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("video", "frames"))
        table.writerows((video, opened.record(video).facts.frames) for video in opened.videos)
        write_text(self.directory / "frame_counts.csv", text.getvalue())
        reasons = "".join(f"{reason}\n" for _, reason in sorted(left_out.items()))
        if reasons:
            write_text(self.directory / "left_out.txt", reasons)
        else:
            (self.directory / "left_out.txt").unlink(missing_ok=True)

    def write_crops(self, video: str) -> None:
        """Write the community's files NAME__k.npy of a finished video, one for each crop, `[T, D]`."""
        features = Extraction(self.directory).features(video)
        for crop in range(features.shape[1]):
            with (
                replacing(self.directory / "crops" / f"{video}__{crop}.npy") as temporary,
                temporary.open("wb") as stream,
            ):
                np.lib.format.write_array(stream, np.ascontiguousarray(features[:, crop]), allow_pickle=False)

    def _new(self, video: str, shape: tuple[int, ...]) -> RowsFile:
        inner = shape if len(self.recipe.protocol.crops.order) > 1 else shape[1:]
        return RowsFile(self.directory / "features" / f"{video}.npy", inner, np.dtype(self.recipe.protocol.dtype))


def _kind(recipe: Recipe) -> str:
    return f"{recipe.words}, {recipe.batch} pictures at a time, {recipe.digest[:10]}"


def _tidy(directory: Path) -> None:
    """Remove what a killed process left half written; the one process that may write calls it."""
    for folder in (directory, *(directory / name for name in ("features", "videos", "crops"))):
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)


class RowsFile:
    """A .npy file that grows row by row, in memory that does not."""

    def __init__(self, final: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Begin what `publish` puts at `final`, of rows of `shape`; raises Unwritable, as all here."""
        self._final, self._shape, self._dtype = final, shape, dtype
        self._path = final.with_name(f".{final.stem}.tmp")
        self._rows = 0
        with self._writing():
            final.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = self._path.open("wb")
            self._stream.write(header(self._dtype, (self._rows, *self._shape)))

    def append(self, values: NDArray[np.float32]) -> None:
        """Append one row."""
        with self._writing():
            self._stream.write(np.ascontiguousarray(values, dtype=self._dtype).tobytes())
        self._rows += 1

    def publish(self) -> int:
        """Close the file and put it in its place, atomically; return the number of rows."""
        with self._writing():
            self._stream.seek(0)
            self._stream.write(header(self._dtype, (self._rows, *self._shape)))
            self._stream.close()
        with replacing(self._final) as temporary:
            self._path.replace(temporary)
        return self._rows

    def discard(self) -> None:
        """Close and remove the file."""
        # Closing writes what is buffered, for which a full disk has no room: it is not wanted any more.
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self._final, error) from error
