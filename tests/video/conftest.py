"""What the tests of extraction share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.video.extract import Report, Setup, extract
from harness.video.protocols import find_protocol
from harness.video.sources import find_videos
from harness.video.towers.loading import load_image_tower
from harness.video.towers.tower import ImageTower

PROTOCOL = "vadclip-centre-crop"


@pytest.fixture(scope="session")
def tower() -> ImageTower:
    return load_image_tower(None)


@contextlib.contextmanager
def quiet(what: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


@pytest.fixture(scope="session")
def extracted(tower: ImageTower) -> Callable[..., Report]:
    """Extract `sources` into `out` in this process; returns the report."""

    def call(out: Path, *sources: Path, protocol: str = PROTOCOL, **setup: int) -> Report:
        videos = find_videos([str(source) for source in sources])
        return extract(videos, find_protocol(protocol), Setup(tower, **setup), out, lambda line: None, quiet)

    return call
