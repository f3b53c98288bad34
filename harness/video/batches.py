"""A tower over batches of a fixed number of pictures, whatever comes in; on a CPU several batches at a time.

A batch always has the same number of pictures, the last one filled up with zeros, and on a CPU one thread computes it:
so a picture's row has the same bits whatever stands beside it and however many cores there are.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.records.protocol import Protocol
from harness.video.pictures import Pixels, squares
from harness.video.towers.tower import ImageTower

Rows = NDArray[np.float32]
# Pictures of one forward pass: as many as fill the caches of a core, and enough to keep a GPU busy.
BATCH = {"cpu": 8, "cuda": 256}


@dataclass(frozen=True)
class Cut:
    """The resized picture `[H, W, 3]` of one frame, which counts `weight` times in the mean of row `row`."""

    video: int
    row: int
    weight: int
    picture: Pixels


@dataclass
class Meter:
    """Seconds of the tower (of all threads, divided by their number) and of the whole, and what went through."""

    tower: float = 0.0
    total: float = 0.0
    pictures: int = 0
    frames: int = 0


class Batches:
    """Runs a tower over the crops of frames, `size` pictures at a time, `threads` batches at once."""

    def __init__(self, tower: ImageTower, protocol: Protocol, size: int, meter: Meter, threads: int) -> None:
        self._tower = tower
        self._protocol = protocol
        self._crops = len(protocol.crops.order)
        self._size = size
        self._meter = meter
        self._threads = threads
        # Torch counts its threads for each thread apart.
        initial: Any = (torch.set_num_threads, (1,)) if tower.device.type == "cpu" else ()
        self._pool = ThreadPoolExecutor(threads, "tower", *initial)
        self._cuts: deque[Cut] = deque()
        self._waiting: list[Tensor] = []
        self._running: deque[Future[tuple[Rows, float]]] = deque()
        self._rows = np.zeros((0, tower.dim), np.float32)

    def add(self, cut: Cut) -> Iterator[tuple[Cut, Rows]]:
        """Take a frame; yield the frames whose rows `[C, D]` are done, in the order in which they came."""
        self._cuts.append(cut)
        self._waiting += squares(cut.picture, self._protocol, self._tower.device)
        while len(self._waiting) >= self._size:
            self._start()
        # One more than there are threads, so that none has to wait for the caller.
        yield from self._finished(self._threads + 1)

    def flush(self) -> Iterator[tuple[Cut, Rows]]:
        """Run what is left, filled up with zeros; yield the last frames."""
        if self._waiting:
            self._start()
        yield from self._finished(0)

    def close(self) -> None:
        """Let go of the threads; what they compute is lost."""
        self._pool.shutdown(cancel_futures=True)

    def _start(self) -> None:
        batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        self._running.append(self._pool.submit(self._compute, batch))
        self._meter.pictures += len(batch)

    def _compute(self, batch: Sequence[Tensor]) -> tuple[Rows, float]:
        """Return the rows of pictures, and the seconds of the tower."""
        pixels = batch[0].new_empty(self._size, *batch[0].shape)
        torch.stack(tuple(batch), out=pixels[: len(batch)])
        pixels[len(batch) :].zero_()
        began = time.perf_counter()
        rows = self._tower(pixels).cpu().numpy()
        return rows[: len(batch)], time.perf_counter() - began

    def _finished(self, running: int) -> Iterator[tuple[Cut, Rows]]:
        """Yield frames that are done, once at most so many batches are under way."""
        while len(self._running) > running or (self._running and self._running[0].done()):
            rows, seconds = self._running.popleft().result()
            self._meter.tower += seconds / self._threads
            self._rows = np.concatenate([self._rows, rows])
            while len(self._rows) >= self._crops:
                values, self._rows = self._rows[: self._crops], self._rows[self._crops :]
                yield self._cuts.popleft(), values


@contextmanager
def cores(device: str) -> Iterator[int]:
    """Yield how many batches are computed at a time: one for each thread of torch on a CPU, which splits none then."""
    threads = torch.get_num_threads()
    if device != "cpu":
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
