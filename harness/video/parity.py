"""Extraction's answers to its parity cases: crops, image tower and snippets against the official code.

A case draws its frames by a rule, so that no video file and no decoder is needed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import UserError
from harness.parity.case import Case
from harness.parity.cases import Computed
from harness.records.protocol import Protocol
from harness.video.decode import Frame
from harness.video.pictures import normalised, pictures, resized
from harness.video.protocols import find_protocol
from harness.video.rows import rows_of
from harness.video.towers.openai import from_openai_state
from harness.video.towers.tower import ImageTower

_WHOLE_FRAMES = 4
_CROPS = 10


def compute(case: Case) -> Computed:
    """Return every output of a case of extraction.

    Raises:
        UserError: the case describes no frames.
    """
    frames = list(_drawn(case))
    every, complete = (find_protocol(name) for name in ("vadclip", "vadclip-complete-only"))
    whole = find_protocol("whole")
    tower = from_openai_state(case.parameters(), "case", heads=case.config.get("heads"))
    single = every.model_copy(update={"frames": every.frames.model_copy(update={"snippet": 1})})
    outputs: dict[str, Any] = {
        "frame_sums": np.array([frame.sum(dtype=np.int64) for frame in frames]),
        "resized_every_17": np.stack([resized(frame, every.picture)[::17, ::17] for frame in frames]),
        "whole_frame0_every_16": pictures(frames[0], whole)[0, ::16, ::16],
        "whole_frame_features": _alone(frames[:_WHOLE_FRAMES], whole, tower),
    }
    by_frame = rows_of(Drawn(frames), single, tower)
    snippets, whole_snippets = (rows_of(Drawn(frames), each, tower) for each in (every, complete))
    first = pictures(frames[0], every)
    for crop in range(_CROPS):
        outputs[f"crop{crop}_frame0_every_16"] = first[crop, ::16, ::16]
        outputs[f"crop{crop}_frame_features_every_8"] = by_frame[:, crop, ::8]
        outputs[f"crop{crop}_snippets"] = snippets[:, crop]
        outputs[f"crop{crop}_snippets_complete_only"] = whole_snippets[:, crop]
    return Computed(outputs)


class Drawn:
    """Frames in memory, read as a video is."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self._next = 0

    def grab(self) -> bool:
        """Go to the next frame; False at the end."""
        self._next += 1
        return self._next <= len(self._frames)

    def retrieve(self) -> Frame:
        """Return the frame that was grabbed last."""
        return self._frames[self._next - 1]


def _alone(frames: list[Frame], protocol: Protocol, tower: ImageTower) -> NDArray[np.float32]:
    pixels = torch.from_numpy(np.concatenate([pictures(frame, protocol) for frame in frames]))
    return np.asarray(tower(normalised(pixels, protocol.normalise)))


def _drawn(case: Case) -> Iterator[Frame]:
    """Frames by the rule of the cases: a picture of 8 x 8 fields that moves, with noise."""
    try:
        count, height, width = (int(case.values[name]) for name in ("frames", "height", "width"))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{case.path}: a case of extraction gives frames, height and width ({error})") from error
    random = np.random.RandomState(zlib.crc32(f"{case.spec['seed']}:frames".encode()) & 0xFFFFFFFF)
    fields = random.randint(0, 256, (8, 8, 3)).astype(np.uint8)
    tile = np.ones((math.ceil(height / 8), math.ceil(width / 8), 1), np.uint8)
    picture = np.kron(fields, tile)[:height, :width]
    for step in range(count):
        moved = np.roll(picture, 3 * step, axis=1).astype(np.int64)
        yield np.clip(moved + random.randint(-24, 25, (height, width, 3)), 0, 255).astype(np.uint8)
