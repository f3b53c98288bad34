"""From the frames of one video to its rows: which pictures there are, and the mean over those of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, one_line
from harness.records.extraction import VideoFacts
from harness.records.protocol import Protocol
from harness.video.batches import BATCH, Batches, Cut, Meter, Rows, cores
from harness.video.decode import Frames, VideoFile
from harness.video.pictures import framed
from harness.video.sampling import taken
from harness.video.towers.tower import ImageTower


@dataclass(frozen=True)
class Done:
    """A video came to its end: what is known of it, or why it gives nothing."""

    video: int
    facts: VideoFacts | None = None
    error: str = ""


@dataclass(frozen=True)
class Row:
    """One finished row of a video: its crops `[C, D]`."""

    video: int
    row: int
    values: Rows


class Mean:
    """The mean over the frames of a row, in the order of frames and in double precision."""

    def __init__(self) -> None:
        self.row = -1
        self._sum: NDArray[np.float64] | None = None
        self._weight = 0

    def add(self, cut: Cut, values: Rows) -> Row | None:
        """Add the rows `[C, D]` of a frame; return the row before it, if it is another one and so finished."""
        finished = self.finish(cut.video) if cut.row != self.row else None
        share = values.astype(np.float64) * cut.weight
        self._sum = share if self._sum is None else self._sum + share
        self._weight += cut.weight
        self.row = cut.row
        return finished

    def finish(self, video: int) -> Row | None:
        """Return the row that is under way, None before the first."""
        if self._sum is None:
            return None
        row = Row(video, self.row, (self._sum / self._weight).astype(np.float32))
        self._sum, self._weight = None, 0
        return row


def rows_of(frames: Frames, protocol: Protocol, tower: ImageTower, batch: int = BATCH["cpu"]) -> Rows:
    """Return all rows `[T, C, D]` of one video whose frames are at hand."""
    count, mean, rows = _Counted(frames), Mean(), []
    with cores(tower.device.type) as threads, closing(Batches(tower, protocol, batch, Meter(), threads)) as batches:
        for pairs in chain(map(batches.add, cuts(0, count, protocol)), [batches.flush()]):
            rows += [row for cut, values in pairs if (row := mean.add(cut, values))]
    rows += [row for row in [mean.finish(0)] if row]
    kept = [row.values for row in rows[: protocol.frames.rows(count.frames)]]
    return np.stack(kept) if kept else np.zeros((0, len(protocol.crops.order), tower.dim), np.float32)


def cuts(video: int, frames: Frames, protocol: Protocol) -> Iterator[Cut]:
    """Yield the frames of a video that rows are made of, resized; see `harness.video.sampling.taken`."""
    for each in taken(frames, protocol.frames):
        yield Cut(video, each.row, each.weight, framed(each.frame, protocol))


def decoded(
    video: int, path: Path, protocol: Protocol, open_: Callable[[Path], AbstractContextManager[VideoFile]]
) -> Iterator[Cut | Done]:
    """Yield the frames of a video file that rows are made of, and at last how it ended: no file makes it raise."""
    try:
        with open_(path) as file:
            yield from cuts(video, file, protocol)
            facts = file.facts()
    except HarnessError as error:
        text = str(error)
        yield Done(video, error=text if str(path) in text else f"{path}: {text}")
    except (OSError, MemoryError, ValueError) as error:
        yield Done(video, error=f"{path}: cannot be decoded ({one_line(error)})")
    else:
        empty = f"{path}: no frame can be decoded (no video in it, or damaged)"
        yield Done(video, facts) if facts.frames else Done(video, error=empty)


def last_of(mean: Mean | None, done: Done, protocol: Protocol) -> Iterator[Row | Done]:
    """Yield the last row of a video that has ended, unless the protocol drops it, and the end itself."""
    last = mean.finish(done.video) if mean else None
    if last and done.facts and last.row < protocol.frames.rows(done.facts.frames):
        yield last
    yield done


class _Counted:
    """Counts the frames that are read."""

    def __init__(self, frames: Frames) -> None:
        self._inner = frames
        self.frames = 0

    def grab(self) -> bool:
        if not self._inner.grab():
            return False
        self.frames += 1
        return True

    def retrieve(self) -> Any:
        return self._inner.retrieve()
