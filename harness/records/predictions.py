"""The predictions file of a run: snippet scores of every test video. No pickle."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import Damaged, UserError
from harness.io.atomic import replacing
from harness.io.digests import DIGEST
from harness.io.npz import arrays_digest, read_npz
from harness.records.alignment import Alignment

_AGAIN = "compute the run again with `harness run --rerun`, or copy the file again from where it is whole"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Snippet scores of a test set.

    Video i owns rows offsets[i] .. offsets[i+1] of `scores` `[N]` and `class_probs` `[N, K]` (K classes in the order
    of `classes`, normal first; None for methods that do not classify).
    """

    videos: tuple[str, ...]
    offsets: NDArray[np.int64]
    scores: NDArray[np.float32] | NDArray[np.float64]
    alignment: Alignment
    classes: tuple[str, ...]
    class_probs: NDArray[np.float32] | None = None

    def rows(self, index: int) -> slice:
        """Rows of video `index`."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def __getitem__(self, video: str) -> NDArray[np.float32] | NDArray[np.float64]:
        """Return the scores `[T]` of a video; raises KeyError if it is not there."""
        if video not in self.videos:
            raise KeyError(video)
        return self.scores[self.rows(self.videos.index(video))]

    def of(self, videos: Collection[str]) -> Predictions:
        """Return those of some videos; the predictions themselves where these are all."""
        kept = [index for index, video in enumerate(self.videos) if video in videos]
        if len(kept) == len(self.videos):
            return self
        rows = np.concatenate([np.arange(self.offsets[i], self.offsets[i + 1]) for i in kept] or [np.arange(0)])
        return Predictions(
            videos=tuple(self.videos[index] for index in kept),
            offsets=np.concatenate([[0], np.cumsum(np.diff(self.offsets)[kept])]).astype(np.int64),
            scores=self.scores[rows],
            alignment=self.alignment,
            classes=self.classes,
            class_probs=None if self.class_probs is None else self.class_probs[rows],
        )

    def save(self, path: Path) -> None:
        """Write an uncompressed npz, atomically; equal predictions give equal bytes."""
        arrays: dict[str, NDArray[np.generic]] = {
            "videos": np.array(self.videos, dtype=np.str_),
            "offsets": self.offsets.astype(np.int64),
            "scores": self.scores.astype(np.float32),
            "classes": np.array(self.classes, dtype=np.str_),
            "alignment": np.array(self.alignment.model_dump_json()),
        }
        if self.class_probs is not None:
            arrays["class_probs"] = self.class_probs.astype(np.float32)
        # First: no damage to the archive's directory can hide it and leave others.
        arrays = {DIGEST: np.array(arrays_digest(arrays)), **arrays}
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged or of another kind.
            Damaged: it is not what was written. Files of other programs carry no hash, and are read as they are.
        """
        stored = read_npz(path)
        if (said := stored.pop(DIGEST, None)) is not None and str(said) != arrays_digest(stored):
            raise Damaged(f"{path}: damaged, its hash is not that of its content; {_AGAIN}")
        try:
            result = cls(
                videos=tuple(stored["videos"].tolist()),
                offsets=stored["offsets"],
                scores=stored["scores"],
                alignment=Alignment.model_validate_json(str(stored["alignment"])),
                classes=tuple(stored["classes"].tolist()),
                class_probs=stored.get("class_probs"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: not a predictions file ({error}); {_AGAIN}") from error
        result.check(path)
        return result

    def check(self, path: Path | str) -> None:
        """Raise UserError unless the arrays belong together and every score is finite."""
        numbers = [self.scores] if self.class_probs is None else [self.scores, self.class_probs]
        if self.scores.ndim != 1 or self.offsets.dtype.kind not in "iu" or any(n.dtype.kind != "f" for n in numbers):
            raise UserError(f"{path}: not a predictions file (scores must be floats, offsets integers)")
        rows, count = len(self.scores), len(self.videos)
        offsets = self.offsets
        if offsets.shape != (count + 1,) or offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 0).any():
            raise UserError(f"{path}: offsets do not divide {rows} scores among {count} videos")
        if not all(isinstance(name, str) for name in (*self.videos, *self.classes)):
            raise UserError(f"{path}: not a predictions file (videos and classes must be lists of names)")
        if len(set(self.videos)) != count:
            raise UserError(f"{path}: a video is listed twice")
        if not np.isfinite(self.scores).all():
            raise UserError(f"{path}: scores contain NaN or infinity")
        if self.class_probs is not None and self.class_probs.shape != (rows, len(self.classes)):
            raise UserError(f"{path}: class_probs is {self.class_probs.shape}, expected {(rows, len(self.classes))}")
