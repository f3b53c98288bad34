"""Which frames of a video make which row, while it is decoded: the length is known at its end only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.records import protocol
from harness.video.decode import Frame, Frames


@dataclass(frozen=True)
class Taken:
    """A frame that counts `weight` times in the mean of row `row`."""

    row: int
    weight: int
    frame: Frame


def taken(frames: Frames, rule: protocol.Frames) -> Iterator[Taken]:
    """Yield the frames that rows are made of, in the order of rows.

    Frames of a last snippet that has no row in the end may be among them: `rule.rows` says how many rows there are.
    At most a snippet's first half is held in memory.
    """
    wanted = frozenset(rule.positions)
    middle = rule.positions[0] if rule.take == "middle" else 0
    held: list[Frame] = []
    last: Frame | None = None
    count = 0
    while frames.grab():
        row, place = divmod(count, rule.snippet)
        count += 1
        if place == 0:
            held.clear()
        # Where the video might end here, this frame may have to stand for later ones.
        if place in wanted or place < middle or rule.tail == "repeated":
            last = frames.retrieve()
        if place < middle and last is not None:
            held.append(last)
        if place in wanted and last is not None:
            held.clear()
            yield Taken(row, 1, last)
    left = count % rule.snippet
    if left and last is not None:
        yield from _tail(count // rule.snippet, left, rule, held, last)


def _tail(row: int, left: int, rule: protocol.Frames, held: list[Frame], last: Frame) -> Iterator[Taken]:
    """What a last snippet of `left` frames takes beside the frames that were yielded already."""
    if rule.tail == "repeated":
        lacking = sum(place >= left for place in rule.positions)
        if lacking:
            yield Taken(row, lacking, last)
    elif rule.take == "middle" and rule.tail == "kept" and held:
        yield Taken(row, 1, held[left // 2])
