"""Decoding, cutting and the tower side by side: videos in, rows out, in memory that does not grow with their length.

Threads decode videos and resize their frames, others run the tower over batches that join pictures of several videos;
the caller's thread hands over and takes the means. A picture's row does not depend on what stands beside it,
so an extraction that was interrupted ends with the bytes of one that was not.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, UserError, one_line
from harness.records.extraction import VideoFacts
from harness.records.protocol import Protocol
from harness.video.batches import BATCH, Batches, Cut, Meter, Rows, cores
from harness.video.decode import Frames, VideoFile
from harness.video.pictures import framed
from harness.video.sampling import taken
from harness.video.towers.tower import ImageTower

# Frames that wait for the tower, at least and in batches.
_FRAMES_AHEAD, _BATCHES_AHEAD = 8, 2
# Seconds until a thread that decodes is given up when the extraction ends early; it may hang in a network's file.
_PATIENCE = 5.0


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


@dataclass
class Pipeline:
    """An extraction under way over `sources`, opened by `open_`.

    `readers` videos are decoded and `threads` batches computed at the same time.
    """

    protocol: Protocol
    tower: ImageTower
    batch: int
    readers: int
    open_: Callable[[Path], AbstractContextManager[VideoFile]]
    meter: Meter = field(default_factory=Meter)
    threads: int = 1

    def run(self, sources: Iterable[tuple[int, Path]]) -> Generator[Row | Done, None, None]:
        """Yield the rows of every video in order, and `Done` behind its last; videos come as they are finished.

        Closing the iterator, or an error in it, ends all threads.
        """
        began = time.perf_counter()
        ahead = _BATCHES_AHEAD * self.threads * self.batch // len(self.protocol.crops.order)
        ready: queue.Queue[Any] = queue.Queue(maxsize=max(ahead, _FRAMES_AHEAD))
        videos: queue.Queue[tuple[int, Path]] = queue.Queue()
        for source in sources:
            videos.put(source)
        stop = threading.Event()
        readers = [
            threading.Thread(target=self._read, args=(videos, ready, stop), daemon=True) for _ in range(self.readers)
        ]
        batches = Batches(self.tower, self.protocol, self.batch, self.meter, self.threads)
        for reader in readers:
            reader.start()
        try:
            yield from self._collect(batches, ready, len(readers))
        finally:
            stop.set()
            batches.close()
            for reader in readers:
                reader.join(_PATIENCE)
            self.meter.total = time.perf_counter() - began

    def _collect(self, batches: Batches, ready: queue.Queue[Any], running: int) -> Iterator[Row | Done]:
        means: dict[int, Mean] = {}
        over: dict[int, Done] = {}
        left: dict[int, int] = {}  # frames of a video that wait for the tower

        def emit(pairs: Iterable[tuple[Cut, Rows]]) -> Iterator[Row | Done]:
            for cut, values in pairs:
                if row := means[cut.video].add(cut, values):
                    yield row
                left[cut.video] -= 1
                yield from ended(cut.video)

        def ended(video: int) -> Iterator[Row | Done]:
            if left.get(video, 0) or video not in over:
                return
            done = over.pop(video)
            mean = means.pop(video, None)
            last = mean.finish(video) if mean else None
            if last and done.facts and last.row < self.protocol.frames.rows(done.facts.frames):
                yield last
            yield done

        while running:
            item = ready.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            elif isinstance(item, Done):
                over[item.video] = item
                self.meter.frames += item.facts.frames if item.facts else 0
                yield from ended(item.video)
            else:
                means.setdefault(item.video, Mean())
                left[item.video] = left.get(item.video, 0) + 1
                yield from emit(batches.add(item))
        yield from emit(batches.flush())

    def _read(self, videos: queue.Queue[tuple[int, Path]], ready: queue.Queue[Any], stop: threading.Event) -> None:
        """Decode videos until none is left; the work of one thread."""

        def put(item: Any) -> None:
            while not stop.is_set():
                try:
                    return ready.put(item, timeout=0.1)
                except queue.Full:
                    continue
            raise _Stopped

        try:
            while not stop.is_set():
                try:
                    video, path = videos.get_nowait()
                except queue.Empty:
                    break
                put(self._one(video, path, put))
            put(None)
        except _Stopped:
            return
        except BaseException as error:  # nobody would see it in this thread
            with suppress(_Stopped):
                put(error)

    def _one(self, video: int, path: Path, put: Callable[[Any], None]) -> Done:
        try:
            with self.open_(path) as file:
                for cut in cuts(video, file, self.protocol):
                    put(cut)
                facts = file.facts()
        except HarnessError as error:
            text = str(error)
            return Done(video, error=text if str(path) in text else f"{path}: {text}")
        except (OSError, MemoryError, ValueError) as error:
            return Done(video, error=f"{path}: cannot be decoded ({one_line(error)})")
        if not facts.frames:
            return Done(video, error=f"{path}: no frame can be decoded (no video in it, or damaged)")
        return Done(video, facts)


class _Stopped(Exception):
    """The extraction ended while a thread was reading."""


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


def cuts(video: int, frames: Frames, protocol: Protocol) -> Iterator[Cut]:
    """Yield the frames of a video that rows are made of, resized; see `harness.video.sampling.taken`."""
    for each in taken(frames, protocol.frames):
        yield Cut(video, each.row, each.weight, framed(each.frame, protocol))


def check_fit(protocol: Protocol, tower: ImageTower) -> None:
    """Raise UserError where the protocol's pictures are not of the size that the tower takes."""
    if protocol.crops.size != tower.size:
        raise UserError(
            f"protocol {protocol.name} cuts squares of {protocol.crops.size} pixels, the image tower {tower.name} "
            f"takes {tower.size}; write `size: {tower.size}` under crops in a protocol of your own"
        )
