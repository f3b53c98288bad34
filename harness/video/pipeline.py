"""Decoding, cutting and the tower side by side: videos in, rows out, in memory that does not grow with their length.

Threads decode videos, cut and normalise their pictures; the caller's thread runs the tower over batches that join
pictures of several videos. A batch always has the same number of pictures, the last one filled up with zeros: so a
picture's row has the same bits whatever stands beside it, and an extraction that was interrupted ends with the bytes
of one that was not.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import HarnessError, UserError, one_line
from harness.records.extraction import VideoFacts
from harness.records.protocol import Protocol
from harness.video.decode import Frames, VideoFile
from harness.video.pictures import normalised, pictures
from harness.video.sampling import taken
from harness.video.towers.tower import ImageTower

Rows = NDArray[np.float32]
# Pictures of one forward pass: as many as fill the caches of a CPU, and enough to keep a GPU busy.
BATCH = {"cpu": 32, "cuda": 256}
# Batches of pictures that wait for the tower, at most.
_AHEAD = 3


@dataclass(frozen=True)
class Cut:
    """Pictures `[C, 3, S, S]` float32 of one frame, which counts `weight` times in the mean of row `row`."""

    video: int
    row: int
    weight: int
    pixels: Tensor


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


@dataclass
class Meter:
    """Seconds of the tower, of the whole, and how many pictures went through; `waited` for pictures."""

    tower: float = 0.0
    total: float = 0.0
    waited: float = 0.0
    pictures: int = 0
    frames: int = 0


class _Mean:
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


class Batches:
    """Runs a tower over batches of exactly `size` pictures, whatever comes in."""

    def __init__(self, tower: ImageTower, size: int, meter: Meter) -> None:
        self._tower = tower
        self._size = size
        self._meter = meter
        self._waiting: list[Cut] = []
        self._done: list[Rows] = []
        self._offset = 0  # pictures of the first waiting frame that are done

    def add(self, cut: Cut) -> Iterator[tuple[Cut, Rows]]:
        """Take the pictures of a frame; yield the frames whose pictures are all done."""
        self._waiting.append(cut)
        while sum(len(each.pixels) for each in self._waiting) - self._offset >= self._size:
            yield from self._run()

    def flush(self) -> Iterator[tuple[Cut, Rows]]:
        """Run what is left, filled up with zeros."""
        while self._waiting:
            yield from self._run()

    def _run(self) -> Iterator[tuple[Cut, Rows]]:
        parts, room, skip = [], self._size, self._offset
        for cut in self._waiting:
            part = cut.pixels[skip : skip + room]
            parts.append(part)
            room -= len(part)
            skip = 0
            if not room:
                break
        if room:
            parts.append(parts[0].new_zeros(room, *parts[0].shape[1:]))
        began = time.perf_counter()
        rows = self._tower(torch.cat(parts)).cpu().numpy()
        self._meter.tower += time.perf_counter() - began
        self._meter.pictures += self._size - room
        at = 0
        for part in parts[: len(parts) - bool(room)]:
            self._done.append(rows[at : at + len(part)])
            at += len(part)
            self._offset += len(part)
            if self._offset == len(self._waiting[0].pixels):
                cut, values = self._waiting.pop(0), np.concatenate(self._done)
                self._done, self._offset = [], 0
                yield cut, values


def rows_of(frames: Frames, protocol: Protocol, tower: ImageTower, batch: int = BATCH["cpu"]) -> Rows:
    """Return all rows `[T, C, D]` of one video whose frames are at hand."""
    count = _Counted(frames)
    batches, mean, rows = Batches(tower, batch, Meter()), _Mean(), []
    cuts = (cut for cut in _cuts(0, count, protocol))
    for pairs in (*(batches.add(cut) for cut in cuts), batches.flush()):
        rows += [row for cut, values in pairs if (row := mean.add(cut, values))]
    rows += [row for row in [mean.finish(0)] if row]
    kept = [row.values for row in rows[: protocol.frames.rows(count.frames)]]
    return np.stack(kept) if kept else np.zeros((0, len(protocol.crops.order), tower.dim), np.float32)


@dataclass
class Pipeline:
    """An extraction under way over `sources`, opened by `open_`; `readers` videos are decoded at the same time."""

    protocol: Protocol
    tower: ImageTower
    batch: int
    readers: int
    open_: Callable[[Path], AbstractContextManager[VideoFile]]
    meter: Meter = field(default_factory=Meter)

    def run(self, sources: Iterable[tuple[int, Path]]) -> Iterator[Row | Done]:
        """Yield the rows of every video in order, and `Done` behind its last; videos come as they are finished."""
        began = time.perf_counter()
        ready: queue.Queue[Any] = queue.Queue(maxsize=max(_AHEAD * self.batch // len(self.protocol.crops.order), 2))
        videos: queue.Queue[tuple[int, Path]] = queue.Queue()
        for source in sources:
            videos.put(source)
        stop = threading.Event()
        readers = [
            threading.Thread(target=self._read, args=(videos, ready, stop), daemon=True) for _ in range(self.readers)
        ]
        for reader in readers:
            reader.start()
        try:
            yield from self._collect(ready, len(readers))
        finally:
            stop.set()
            self.meter.total = time.perf_counter() - began

    def _collect(self, ready: queue.Queue[Any], running: int) -> Iterator[Row | Done]:
        batches = Batches(self.tower, self.batch, self.meter)
        means: dict[int, _Mean] = {}
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
            began = time.perf_counter()
            item = ready.get()
            self.meter.waited += time.perf_counter() - began
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            elif isinstance(item, Done):
                over[item.video] = item
                self.meter.frames += item.facts.frames if item.facts else 0
                yield from ended(item.video)
            else:
                means.setdefault(item.video, _Mean())
                left[item.video] = left.get(item.video, 0) + 1
                yield from emit(batches.add(item))
        yield from emit(batches.flush())

    def _read(self, videos: queue.Queue[tuple[int, Path]], ready: queue.Queue[Any], stop: threading.Event) -> None:
        """Decode videos until none is left; the work of one thread."""

        def put(item: Any) -> None:
            while not stop.is_set():
                try:
                    return ready.put(item, timeout=0.5)
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
            ready.put(error)

    def _one(self, video: int, path: Path, put: Callable[[Any], None]) -> Done:
        try:
            with self.open_(path) as file:
                for cut in _cuts(video, file, self.protocol):
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


def _cuts(video: int, frames: Frames, protocol: Protocol) -> Iterator[Cut]:
    for each in taken(frames, protocol.frames):
        yield Cut(video, each.row, each.weight, normalised(pictures(each.frame, protocol), protocol.normalise))


def check_fit(protocol: Protocol, tower: ImageTower) -> None:
    """Raise UserError where the protocol's pictures are not of the size that the tower takes."""
    if protocol.crops.size != tower.size:
        raise UserError(
            f"protocol {protocol.name} cuts squares of {protocol.crops.size} pixels, the image tower {tower.name} "
            f"takes {tower.size}; write `size: {tower.size}` under crops in a protocol of your own"
        )
