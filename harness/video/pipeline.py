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
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.records.protocol import Protocol
from harness.video.batches import Batches, Cut, Meter, Rows
from harness.video.decode import VideoFile
from harness.video.rows import Done, Mean, Row, decoded, last_of
from harness.video.towers.tower import ImageTower

# Frames that wait for the tower, at least and in batches.
_FRAMES_AHEAD, _BATCHES_AHEAD = 8, 2
# Seconds until a thread that decodes is given up when the extraction ends early; it may hang in a network's file.
_PATIENCE = 5.0


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
            yield from last_of(means.pop(video, None), over.pop(video), self.protocol)

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
                for item in decoded(video, path, self.protocol, self.open_):
                    put(item)
            put(None)
        except _Stopped:
            return
        except BaseException as error:  # nobody would see it in this thread
            with suppress(_Stopped):
                put(error)


class _Stopped(Exception):
    """The extraction ended while a thread was reading."""
