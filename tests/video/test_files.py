"""Video files of many kinds: as many frames as an independent count finds, with the facts of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.io.digests import file_digest
from harness.records.extraction import VideoRecord
from harness.video.decode import opened
from harness.video.extract import Report
from harness.video.extraction import Extraction
from tests.video.films import count, cut_off, film, pictures, real, turned

Extracted = Callable[..., Report]
# Milliseconds between frames that differ, as cameras with a variable rate write them.
UNEVEN = tuple(int(number) for number in np.cumsum(np.random.default_rng(0).integers(10, 90, 40)))


def videos(folder: Path) -> dict[str, Path]:
    """One of each kind, by what is particular about it."""
    found = {
        "h264": film(folder / "h264.mp4", 33),
        "mjpeg": film(folder / "mjpeg.avi", 32, codec="mjpeg", pixels="yuvj420p"),
        "vp9": film(folder / "vp9.webm", 31, codec="libvpx-vp9"),
        "mpeg4": film(folder / "mpeg4.avi", 16, codec="mpeg4"),
        "odd": film(folder / "odd.mkv", 17, (101, 57), "ffv1", "bgr0"),
        "uneven": film(folder / "uneven.mp4", 40, times=UNEVEN),
        "grey": film(folder / "grey.mkv", 17, codec="ffv1", pixels="gray"),
        "ten-bit": film(folder / "ten-bit.mkv", 17, codec="ffv1", pixels="yuv420p10le"),
        "one-frame": film(folder / "one-frame.mp4", 1),
        "tiny": film(folder / "tiny.mkv", 17, (2, 2), "ffv1", "bgr0"),
        "tall": film(folder / "tall.mkv", 5, (16, 400), "ffv1", "bgr0"),
        "turned": turned(film(folder / "turned.mp4", 20)),
        "cut-off": cut_off(film(folder / "cut-off.mkv", 60, (160, 120), "ffv1", "bgr0"), 0.6),
        "cut-off-avi": cut_off(film(folder / "cut-off-avi.avi", 60, (160, 120), "mpeg4"), 0.5),
    }
    return {**found, **{f"real-{path.stem}": path for path in real()}}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, extracted: Extracted) -> tuple[dict[str, Path], Extraction, Report]:
    folder = tmp_path_factory.mktemp("videos")
    files = videos(folder)
    report = extracted(folder / "out", *files.values(), readers=2)
    return files, Extraction(folder / "out"), report


KINDS = (
    *("h264", "mjpeg", "vp9", "mpeg4", "odd", "uneven", "grey", "ten-bit", "one-frame", "tiny", "tall", "turned"),
    *("cut-off", "cut-off-avi"),
    *(f"real-{path.stem}" for path in real()),
)


def test_every_kind_is_extracted(done: tuple[dict[str, Path], Extraction, Report]) -> None:
    files, extraction, report = done
    assert report.left_out == {}
    assert set(files) == set(KINDS)
    assert set(extraction.videos) == {path.stem for path in files.values()}
    lines = (extraction.directory / "frame_counts.csv").read_text().splitlines()
    assert lines == ["video,frames", *sorted(f"{path.stem},{count(path)}" for path in files.values())]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_as_many_as_counted_apart(kind: str, done: tuple[dict[str, Path], Extraction, Report]) -> None:
    files, extraction, _ = done
    record: VideoRecord = extraction.record(files[kind].stem)
    rows = extraction.features(files[kind].stem)
    assert record.facts.frames == count(files[kind]) > 0
    assert rows.shape == (-(-record.facts.frames // 16), 1, 512)
    assert record.facts.digest == file_digest(files[kind])
    assert np.isfinite(rows).all()
    assert (np.linalg.norm(rows, axis=2) > 1).all()
    assert record.facts.cut_off == kind.startswith("cut-off")


def test_the_facts_of_files(done: tuple[dict[str, Path], Extraction, Report]) -> None:
    files, extraction, _ = done
    facts = {kind: extraction.record(path.stem).facts for kind, path in files.items()}
    assert (facts["odd"].width, facts["odd"].height) == (101, 57)
    assert (facts["turned"].width, facts["turned"].height, facts["turned"].rotation) == (48, 64, 90)
    assert facts["h264"].rotation == 0
    assert facts["h264"].fps == 25
    assert facts["h264"].codec.lower() in ("h264", "avc1")
    assert (facts["tiny"].width, facts["tiny"].height) == (2, 2)


@pytest.mark.parametrize(("name", "within"), [("odd", 0), ("mjpeg", 40), ("grey", 3), ("ten-bit", 40)])
def test_pixels_are_those_that_were_written(
    name: str, within: int, done: tuple[dict[str, Path], Extraction, Report]
) -> None:
    path = done[0][name]
    with opened(path) as video:
        for drawn in pictures(5, *((101, 57) if name == "odd" else (64, 48))):
            assert video.grab()
            frame = video.retrieve()[:, :, ::-1].astype(int)
            wanted = drawn.astype(int)
            if name == "grey":
                wanted = np.rint(wanted @ (0.299, 0.587, 0.114))[:, :, None].repeat(3, 2)
            # Codecs that keep colours at half the size smear the edges.
            assert np.median(abs(frame - wanted)) <= within


def test_a_turned_video_is_turned(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 2)
    plain = _first(tmp_path / "a.mp4")
    shown = _first(turned(tmp_path / "a.mp4"))
    assert any(np.array_equal(shown, np.rot90(plain, times)) for times in (1, 3))


def _first(path: Path) -> np.ndarray:
    with opened(path) as video:
        assert video.grab()
        return video.retrieve()
