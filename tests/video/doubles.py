"""A tower whose rows are the mean colours of its pictures, and videos in memory: rows can be reckoned by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn

from harness.errors import UserError
from harness.records.extraction import VideoFacts
from harness.records.protocol import Protocol
from harness.video.decode import Frame
from harness.video.towers.tower import ImageTower

SIDE = 4


def colours(size: int = SIDE) -> ImageTower:
    """A tower whose row is a picture's mean red, green and blue."""
    return ImageTower(nn.Linear(1, 1), lambda _, pixels: pixels.mean((2, 3)), "colours", size, 3)


def protocol(**frames: object) -> Protocol:
    """A protocol that takes pictures as they are."""
    return Protocol.model_validate({"name": "p", "frames": frames, "crops": {"size": SIDE}})


class Film:
    """A video in memory: frame t is of one colour, t % 256 of blue and t // 256 of green."""

    def __init__(self, length: int, broken: bool = False) -> None:
        self.length, self.frames, self.broken = length, 0, broken

    def grab(self) -> bool:
        if self.frames == self.length:
            return False
        self.frames += 1
        return True

    def retrieve(self) -> Frame:
        if self.broken and self.frames == self.length:
            raise UserError("cannot be decoded")
        number = self.frames - 1
        return np.full((SIDE, SIDE, 3), (number % 256, number // 256, 0), np.uint8)

    def facts(self) -> VideoFacts:
        return VideoFacts(
            frames=self.frames, announced=self.length, fps=25, width=SIDE, height=SIDE, codec="", rotation=0
        )


def opening(films: dict[str, Film]) -> Callable[[Path], object]:
    """What a pipeline opens paths with."""

    @contextmanager
    def open_(path: Path) -> Iterator[Film]:
        yield films[path.name]

    return open_


def numbers(rows: np.ndarray) -> np.ndarray:
    """The mean numbers of the frames that rows `[T, 1, 3]` were made of."""
    rows = rows.astype(np.float64)
    return np.rint((rows[..., 2] + 256 * rows[..., 1]) * 255 * 720720).astype(np.int64).ravel() / 720720
