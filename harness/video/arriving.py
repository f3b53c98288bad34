"""Rows of a video while its frames arrive: each as soon as the frames of its snippet are there."""

from __future__ import annotations

from collections.abc import Iterator

from harness.records.protocol import Protocol
from harness.video.batches import Rows
from harness.video.decode import Frame, Frames
from harness.video.rows import rows_of
from harness.video.towers.tower import ImageTower


def arriving_rows(frames: Frames, protocol: Protocol, tower: ImageTower, batch: int) -> Iterator[Rows]:
    """Yield the rows `[C, D]` of a video in order; they are those that an extraction of the whole video gives.

    But for a protocol whose last full snippet is lost: here nobody knows which is the last one.
    """
    rule = protocol.frames
    tail = "repeated" if rule.tail == "repeated" else "kept"
    one = protocol.model_copy(update={"frames": rule.model_copy(update={"tail": tail})})
    while True:
        part = _Part(frames, rule.snippet)
        rows = rows_of(part, one, tower, batch)
        if part.count == rule.snippet or (part.count and rule.tail in ("kept", "repeated")):
            yield rows[0]
        if part.count < rule.snippet:
            return


class _Part:
    """At most `limit` of the frames of a longer video."""

    def __init__(self, frames: Frames, limit: int) -> None:
        self._frames = frames
        self._limit = limit
        self.count = 0

    def grab(self) -> bool:
        """Go to the next frame of the part; False at its end."""
        if self.count == self._limit or not self._frames.grab():
            return False
        self.count += 1
        return True

    def retrieve(self) -> Frame:
        """Return the frame that was grabbed last."""
        return self._frames.retrieve()
