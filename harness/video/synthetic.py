"""Short synthetic clips of one fixed camera: shapes drift along their lanes; in an event they dart about.

They show that the whole way from video to page works. They judge nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.io.atomic import replacing, write_text
from harness.video.decode import Frame, opencv
from harness.video.new_data_set import LABELS

SEED = 20261129
FPS, WIDTH, HEIGHT = 25, 320, 240
# Snippets of a clip, and of an event in it, in frames.
_LENGTH, _EVENT = (160, 240), (48, 80)
_SHAPES, _RADIUS = 4, 20


@dataclass(frozen=True)
class Clip:
    """A clip to draw: its name and frames, and the event's frames [start, end) (None: a normal clip)."""

    name: str
    frames: int
    event: tuple[int, int] | None


def clips(count: int, seed: int, prefix: str = "clip") -> list[Clip]:
    """Return `count` clips, every second one with an event somewhere inside."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        frames = int(random.integers(*_LENGTH))
        length = int(random.integers(*_EVENT))
        start = int(random.integers(24, frames - length - 8))
        made.append(Clip(f"{prefix}-{number:02d}", frames, (start, start + length) if number % 2 else None))
    return made


def draw(clip: Clip, seed: int) -> list[Frame]:
    """Return the frames `[H, W, 3]` of a clip, blue first, as one fixed camera sees it."""
    cv2 = opencv()
    scene = np.random.default_rng(seed)  # the camera's: the same in every clip
    back, colours = _background(scene), scene.integers(120, 256, (_SHAPES, 3)).tolist()
    random = np.random.default_rng([seed, *clip.name.encode()])
    lanes = HEIGHT * (np.arange(_SHAPES) + 0.5) / _SHAPES
    along, speeds = random.uniform(0, WIDTH, _SHAPES), random.uniform(0.6, 1.8, _SHAPES)
    frames = []
    for index in range(clip.frames):
        along = (along + speeds) % WIDTH
        places = np.stack([along, lanes], axis=1)
        if clip.event is not None and clip.event[0] <= index < clip.event[1]:
            places = random.uniform((0, 0), (WIDTH, HEIGHT), places.shape)
        frame = back.copy()
        for at, (place, colour) in enumerate(zip(places, colours, strict=True)):
            x, y = (round(value) for value in place)
            if at % 2:
                cv2.circle(frame, (x, y), _RADIUS, colour, -1)
            else:
                cv2.rectangle(frame, (x - _RADIUS, y - _RADIUS), (x + _RADIUS, y + _RADIUS), colour, -1)
        noisy = frame.astype(np.int16) + random.integers(-6, 7, frame.shape, dtype=np.int16)
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return frames


def write_clips(root: Path, chosen: list[Clip], seed: int, tick: Callable[[int, int], None]) -> None:
    """Write clips as .mp4 files and `labels.csv` beside them; raises UserError where the system cannot encode."""
    cv2 = opencv()
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("video", "label", "start", "end"))
    for number, clip in enumerate(chosen, start=1):
        with replacing(root / f"{clip.name}.mp4") as temporary:
            named = temporary.with_suffix(".mp4")
            writer = cv2.VideoWriter(str(named), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
            if not writer.isOpened():
                raise UserError(f"{named}: OpenCV cannot write MPEG-4 here")
            for frame in draw(clip, seed):
                writer.write(frame)
            writer.release()
            named.replace(temporary)
        event = clip.event
        times = (f"{event[0] / FPS:.3f}", f"{event[1] / FPS:.3f}") if event else ("", "")
        rows.writerow((f"{clip.name}.mp4", "darting" if event else "normal", *times))
        tick(number, len(chosen))
    write_text(root / LABELS, table.getvalue())


def _background(random: np.random.Generator) -> NDArray[np.uint8]:
    """A soft gradient between two dark colours."""
    one, other = random.integers(20, 90, (2, 3))
    slope = np.linspace(0, 1, WIDTH)[None, :, None]
    picture = one + (other - one) * slope
    return np.broadcast_to(picture, (HEIGHT, WIDTH, 3)).astype(np.uint8)
