"""What an extraction of features is recorded as: how they were made, and the facts of each video."""

from __future__ import annotations

from typing import Literal

from harness.io.digests import digest
from harness.records.model import Record
from harness.records.protocol import Protocol

TowerPrecision = Literal["fp32", "tf32", "fp16", "bf16"]


class Recipe(Record):
    """How features were made: all that decides their values, given the videos.

    `tower` is the name of the image tower, which says where its weights come from; `batch` is how many pictures went
    through it at a time, on which the last bits may depend.
    """

    format: int = 1
    protocol: Protocol
    tower: str
    dim: int
    precision: TowerPrecision
    batch: int

    @property
    def digest(self) -> str:
        """Hash of protocol, tower and precision: features of equal hashes are of one kind."""
        return digest(self.protocol.digest, self.tower, str(self.dim), self.precision)

    @property
    def words(self) -> str:
        """The recipe in a line of words."""
        return f"{self.protocol.name} ({self.protocol.words}), {self.tower}, {self.precision}"


class VideoFacts(Record):
    """What is known of a video once it was decoded.

    `frames` were decoded; the file announced `announced` (0: nothing). `fps` is what the file says (0: nothing).
    `rotation` in degrees was applied to the frames. `digest` is the SHA-256 of the file, "" for a stream.
    """

    frames: int
    announced: int
    fps: float
    width: int
    height: int
    codec: str
    rotation: int
    digest: str = ""

    @property
    def cut_off(self) -> bool:
        """Whether clearly fewer frames were decoded than the file announces."""
        return self.frames < 0.9 * self.announced


class VideoRecord(Record):
    """One video of an extraction: its facts, how many rows it gave, and the hash of its file of features."""

    facts: VideoFacts
    rows: int
    features: str
