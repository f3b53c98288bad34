"""An extraction on Ray: videos are decoded where there are cores, towers compute where there are GPUs.

Only rows come back, and this process alone writes files: the same bytes as without Ray.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError, one_line
from harness.io.ray_cluster import connect
from harness.records.extraction import TowerPrecision, VideoFacts
from harness.records.protocol import Protocol
from harness.video.batches import Batches, Cut, Meter, Rows
from harness.video.decode import opened
from harness.video.rows import Done, Mean, Row, decoded, last_of

# Blocks of each video that wait for a tower, and videos in a queue for each tower.
_BLOCKS, _VIDEOS = 2, 3
# Frames of a block.
_FRAMES = 16


@dataclass(frozen=True)
class _Block:
    """Some frames `[n, H, W, 3]` of a video as they are cut, with row and weight of each; facts behind the last."""

    pictures: NDArray[np.uint8] | None
    rows: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    facts: VideoFacts | None = None
    error: str = ""


@dataclass
class RayPipeline:
    """Does what `Pipeline` does, on the Ray cluster at `address` (None: one on this machine).

    `tower` and `device` are those of every actor; each asks for a GPU, or for `threads` cores.
    """

    protocol: Protocol
    tower: Any
    batch: int
    device: str
    precision: TowerPrecision
    threads: int
    address: str | None = None
    meter: Meter = field(default_factory=Meter)

    def run(self, sources: Iterable[tuple[int, Path]]) -> Generator[Row | Done, None, None]:
        """Yield the rows of every video in order, and `Done` behind its last.

        Raises:
            UserError: Ray is not installed, or there is no such cluster.
        """
        began = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            ray = connect(self.address)
            try:
                yield from self._run(ray, deque(sources))
            finally:
                self.meter.total = time.perf_counter() - began
                ray.shutdown()

    def _run(self, ray: Any, waiting: deque[tuple[int, Path]]) -> Iterator[Row | Done]:
        towers = self._towers(ray)
        decode = ray.remote(num_cpus=1, num_returns="streaming", _generator_backpressure_num_objects=_BLOCKS)(_decoded)
        free = deque(towers * _VIDEOS)
        protocol = self.protocol.model_dump_json()
        # By what is waited for: the next block of a video, or the rows of one.
        reading: dict[Any, _UnderWay] = {}
        encoding: dict[Any, _UnderWay] = {}
        while waiting or reading or encoding:
            while waiting and free:
                video, path = waiting.popleft()
                blocks = decode.remote(str(path.absolute()), protocol)
                reading[blocks] = _UnderWay(video, self.protocol, blocks, free.popleft())
            # A video whose decoding has no core yet must not keep the others waiting.
            (ready,), _ = ray.wait([*reading, *encoding], num_returns=1, fetch_local=False)
            if ready in reading:
                current = reading.pop(ready)
                encoding[current.tower.encode.remote(next(current.blocks))] = current
                continue
            current = encoding.pop(ready)
            try:
                answer = ray.get(ready)
            except ray.exceptions.RayError as error:
                answer = _Answer((), (), None, None, f"its Ray task was lost ({one_line(error)})", 0.0)
            self.meter.tower += answer.seconds / len(towers)
            self.meter.pictures += len(answer.rows) * len(self.protocol.crops.order)
            yield from current.rows(answer)
            if answer.facts is None and not answer.error:
                reading[current.blocks] = current
                continue
            self.meter.frames += answer.facts.frames if answer.facts else 0
            yield from current.end(answer)
            free.append(current.tower)

    def _towers(self, ray: Any) -> list[Any]:
        """The actors that hold the tower: one for each GPU, or for each group of cores beside one for decoding."""
        kind = "GPU" if self.device == "cuda" else "CPU"
        there = int(ray.cluster_resources().get(kind, 0))
        if kind == "GPU" and not there:
            raise UserError("--device cuda --executor ray: the cluster has no GPU")
        count = there if kind == "GPU" else max((there - 1) // self.threads, 1)
        asks = {"num_gpus": 1} if kind == "GPU" else {"num_cpus": 0}
        actor = ray.remote(**asks)(_TowerActor)
        content = ray.put(self.tower)
        return [
            actor.remote(
                content, self.protocol.model_dump_json(), self.batch, self.device, self.precision, self.threads
            )
            for _ in range(count)
        ]


@dataclass(frozen=True)
class _Answer:
    """Rows `[n, C, D]` of a block's frames, by row number and weight; facts or error behind a video's last."""

    rows: tuple[int, ...]
    weights: tuple[int, ...]
    values: NDArray[np.float32] | None
    facts: VideoFacts | None
    error: str
    seconds: float


class _UnderWay:
    """A video under way: its blocks, the tower that takes them, and the mean of the row that is under way."""

    def __init__(self, video: int, protocol: Protocol, blocks: Any, tower: Any) -> None:
        self.blocks, self.tower = blocks, tower
        self._video = video
        self._protocol = protocol
        self._mean = Mean()

    def rows(self, answer: _Answer) -> Iterator[Row]:
        """Yield the rows that are finished with an answer."""
        for row, weight, values in zip(answer.rows, answer.weights, _each(answer.values), strict=True):
            if done := self._mean.add(Cut(self._video, row, weight, np.zeros(0, np.uint8)), values):
                yield done

    def end(self, answer: _Answer) -> Iterator[Row | Done]:
        """Yield the last row, and the end of the video."""
        yield from last_of(self._mean, Done(self._video, answer.facts, answer.error), self._protocol)


class _TowerActor:
    """Holds a tower in a process of its own."""

    def __init__(
        self, tower: Any, protocol: str, batch: int, device: str, precision: TowerPrecision, threads: int
    ) -> None:
        from harness.video.extract import Setup, computing

        self._setup = Setup(tower, device, precision, batch)
        self._context = computing(self._setup)
        self._threads = threads
        self._protocol = Protocol.model_validate_json(protocol)
        self._context.__enter__()

    def encode(self, block: _Block) -> _Answer:
        """Return the rows of the frames of a block."""
        if block.pictures is None:
            return _Answer((), (), None, block.facts, block.error, 0.0)
        meter = Meter()
        batches = Batches(self._setup.tower, self._protocol, self._setup.pictures, meter, self._threads)
        try:
            given = [
                Cut(0, row, weight, picture)
                for row, weight, picture in zip(block.rows, block.weights, block.pictures, strict=True)
            ]
            done = [values for cut in given for _, values in batches.add(cut)] + [v for _, v in batches.flush()]
        finally:
            batches.close()
        return _Answer(block.rows, block.weights, np.stack(done), None, "", meter.tower)


def _decoded(path: str, protocol_json: str) -> Iterator[_Block]:
    """Blocks of a video's frames, and at last one with its facts."""
    protocol = Protocol.model_validate_json(protocol_json)
    held: list[Cut] = []
    for item in decoded(0, Path(path), protocol, opened):
        if isinstance(item, Cut):
            held.append(item)
        if held and (isinstance(item, Done) or len(held) == _FRAMES):
            yield _block(held)
            held = []
        if isinstance(item, Done):
            yield _Block(None, facts=item.facts, error=item.error)


def _block(held: list[Cut]) -> _Block:
    pictures = np.stack([cut.picture for cut in held])
    return _Block(pictures, tuple(cut.row for cut in held), tuple(cut.weight for cut in held))


def _each(values: NDArray[np.float32] | None) -> Iterable[Rows]:
    return () if values is None else values
