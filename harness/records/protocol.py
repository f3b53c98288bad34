"""The protocol of an extraction: how the pictures of a video become rows of features.

Its hash is part of a feature set's identity: rows that were made otherwise are other features.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from harness.io.digests import digest
from harness.names import CARD_NAMES, is_card_name
from harness.printable import shortened
from harness.records.model import Record

MIRRORED = "-mirrored"
Crop = Literal[
    "centre",
    "top-left",
    "top-right",
    "bottom-left",
    "bottom-right",
    "centre-mirrored",
    "top-left-mirrored",
    "top-right-mirrored",
    "bottom-left-mirrored",
    "bottom-right-mirrored",
]
Channels = Annotated[tuple[FiniteFloat, ...], Field(min_length=3, max_length=3)]
_LARGEST = 4096


def _named(name: str) -> str:
    if not is_card_name(name):
        raise ValueError(f"expected {CARD_NAMES}; got {shortened(repr(name))}")
    return name


_Name = Annotated[str, AfterValidator(_named)]
_Side = Annotated[int, Field(ge=0, le=_LARGEST)]


class Frames(Record):
    """Which frames make a row. A snippet is `snippet` consecutive frames; its row is the mean over those it takes.

    `take`: "all", the "first", the "middle" one (index snippet // 2), or "every": frames 0, step, 2 step, ... of each
    snippet. `tail`, what becomes of a last snippet that is not full: "kept" as it is (where it ends before its middle
    frame, the middle of what is left counts), "dropped", "repeated" (its last frame fills it), or "last-lost": dropped,
    and where the frames are a multiple of a snippet the last full one is lost as well, as some scripts do.
    """

    snippet: Annotated[int, Field(ge=1, le=100_000)] = 16
    take: Literal["all", "first", "middle", "every"] = "all"
    step: Annotated[int, Field(ge=1, le=100_000)] = 1
    tail: Literal["kept", "dropped", "repeated", "last-lost"] = "kept"

    @model_validator(mode="after")
    def _step_where_it_counts(self) -> Frames:
        if self.step > 1 and self.take != "every":
            raise ValueError(f"step {self.step} needs `take: every`")
        if self.step > self.snippet:
            raise ValueError(f"step {self.step} is longer than a snippet of {self.snippet} frames")
        return self

    @property
    def positions(self) -> tuple[int, ...]:
        """Indices within a full snippet of the frames that it takes."""
        chosen = {"all": range(self.snippet), "first": (0,), "middle": (self.snippet // 2,)}
        return tuple(chosen.get(self.take, range(0, self.snippet, self.step)))

    def rows(self, frames: int) -> int:
        """Return how many rows a video of so many frames gives."""
        if self.tail in ("kept", "repeated"):
            return -(-frames // self.snippet)
        return max(frames - (self.tail == "last-lost"), 0) // self.snippet


class Picture(Record):
    """How a frame is resized before it is cropped.

    `resize`: "exact" to `width` x `height` whatever its shape, "short-side" to `side` with its shape kept, or "none".
    `filter`: "opencv-bilinear", or "pillow-bicubic" (with its antialiasing, as CLIP's own transform does).
    """

    resize: Literal["exact", "short-side", "none"] = "none"
    width: _Side = 0
    height: _Side = 0
    side: _Side = 0
    filter: Literal["opencv-bilinear", "pillow-bicubic"] = "opencv-bilinear"

    @model_validator(mode="after")
    def _sizes(self) -> Picture:
        needed = {"exact": {"width", "height"}, "short-side": {"side"}, "none": set()}[self.resize]
        for name in ("width", "height", "side"):
            if (getattr(self, name) > 0) != (name in needed):
                raise ValueError(f"resize {self.resize} takes {' and '.join(sorted(needed)) or 'no size'}, got {name}")
        return self


class Crops(Record):
    """Squares of `size` x `size` cut from a resized frame, in the order in which features keep them.

    The centre is rounded to even numbers where it lies between pixels, as torchvision does. A name that ends in
    `-mirrored` is the same square, flipped left to right.
    """

    size: Annotated[int, Field(ge=1, le=_LARGEST)] = 224
    order: Annotated[tuple[Crop, ...], Field(min_length=1)] = ("centre",)

    @model_validator(mode="after")
    def _each_once(self) -> Crops:
        if len(set(self.order)) < len(self.order):
            raise ValueError("order names a crop twice")
        return self


class Normalisation(Record):
    """Pixels / 255, minus `mean`, divided by `std`, for red, green and blue."""

    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _spread(self) -> Normalisation:
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self


class Protocol(Record):
    """One protocol. `tower` is the image tower it is meant for: a hub id; `source` says who extracts in this way."""

    name: _Name
    title: str = ""
    frames: Frames = Frames()
    picture: Picture = Picture()
    crops: Crops = Crops()
    normalise: Normalisation = Normalisation()
    tower: str = ""
    dtype: Literal["float16", "float32"] = "float32"
    source: str = ""
    notes: str = ""

    @model_validator(mode="after")
    def _crops_fit(self) -> Protocol:
        smallest = {
            "exact": min(self.picture.width, self.picture.height),
            "short-side": self.picture.side,
            "none": self.crops.size,
        }[self.picture.resize]
        if self.crops.size > smallest:
            raise ValueError(f"crops of {self.crops.size} pixels do not fit into a picture of {smallest}")
        return self

    @property
    def digest(self) -> str:
        """Hash of what decides the rows, given a tower: not of the name, the tower that is meant, and prose."""
        content = self.model_dump(mode="json", exclude={"name", "title", "tower", "source", "notes"})
        return digest(json.dumps(content, sort_keys=True))

    @property
    def words(self) -> str:
        """The protocol in a line of words."""
        frames, picture, order = self.frames, self.picture, self.crops.order
        taken = {"all": "mean of", "first": "first of", "middle": "middle of"}.get(
            frames.take, f"every {frames.step} of"
        )
        resized = {
            "exact": f"{picture.width}x{picture.height}",
            "short-side": f"short side {picture.side}",
            "none": "as decoded",
        }[picture.resize]
        crops = f"{len(order)} crops" if len(order) > 1 else f"{order[0]} crop"
        if frames.snippet == 1:
            return f"every frame, {resized}, {crops} of {self.crops.size}"
        return f"{taken} {frames.snippet} frames, tail {frames.tail}, {resized}, {crops} of {self.crops.size}"
