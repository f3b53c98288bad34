"""Frames of a video file, one after another, as OpenCV decodes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.io.digests import file_digest
from harness.records.extraction import VideoFacts

if TYPE_CHECKING:
    import cv2

Frame = NDArray[np.uint8]
EXTENSIONS = (
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp"),
    *(".ogv", ".mjpeg", ".mjpg", ".asf", ".vob"),
)


class Frames(Protocol):
    """What frames are read from: a file, a stream, or a drawing in memory."""

    def grab(self) -> bool:
        """Go to the next frame; False where there is none."""

    def retrieve(self) -> Frame:
        """Return the frame that was grabbed last, `[H, W, 3]` uint8, blue first."""


def opencv() -> Any:
    """Return the module `cv2`; raises UserError where it is not installed."""
    # Its reader of video says on standard error what we say in one line.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            "videos are read by OpenCV, which is not installed; pip install 'harness-wsvad[video]'"
        ) from error
    return cv2


class VideoFile:
    """An open video file (`path`), stream or camera (None); frames come in order."""

    def __init__(self, capture: cv2.VideoCapture, path: Path | None = None) -> None:
        self._capture = capture
        self._path = path
        self._size = (0, 0)
        self.frames = 0

    def grab(self) -> bool:
        """Go to the next frame; False at the end, or where the rest cannot be decoded."""
        if not self._capture.grab():
            return False
        self.frames += 1
        return True

    def retrieve(self) -> Frame:
        """Return the frame that was grabbed last, `[H, W, 3]` uint8, blue first; raises UserError."""
        held, frame = self._capture.retrieve()
        if not held or frame is None:
            raise UserError(f"frame {self.frames - 1} cannot be decoded")
        if frame.ndim == 2:
            frame = np.repeat(frame[:, :, None], 3, axis=2)
        self._size = (frame.shape[1], frame.shape[0])
        return np.asarray(frame, dtype=np.uint8)

    @property
    def fps(self) -> float:
        """Frames per second as the file says them, 0 where it does not."""
        fps = float(self._capture.get(opencv().CAP_PROP_FPS))
        return fps if 0 < fps < 1e6 else 0.0

    def facts(self) -> VideoFacts:
        """Return what is known by now, with the hash of the whole file; raises OSError."""
        cv2 = opencv()

        def number(name: int) -> float:
            value = float(self._capture.get(name))
            return value if np.isfinite(value) and value > 0 else 0.0

        code = int(number(cv2.CAP_PROP_FOURCC))
        codec = "".join(chr(code >> shift & 255) for shift in (0, 8, 16, 24)).strip("\0 ")
        width, height = self._size
        return VideoFacts(
            frames=self.frames,
            announced=int(min(number(cv2.CAP_PROP_FRAME_COUNT), 1 << 40)),
            fps=round(number(cv2.CAP_PROP_FPS), 6),
            width=width or int(number(cv2.CAP_PROP_FRAME_WIDTH)),
            height=height or int(number(cv2.CAP_PROP_FRAME_HEIGHT)),
            codec=codec if codec.isprintable() else "",
            rotation=int(number(cv2.CAP_PROP_ORIENTATION_META)) % 360,
            digest=file_digest(self._path) if self._path else "",
        )


@contextmanager
def opened(source: str | int | Path) -> Iterator[VideoFile]:
    """Yield the open video of a file, an address (str) or a camera by its number.

    Raises:
        UserError: it cannot be opened or has no video; the text names it.
    """
    cv2 = opencv()
    if isinstance(source, Path):
        _check_file(source)
    capture = cv2.VideoCapture(source) if isinstance(source, int) else cv2.VideoCapture(str(source), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise UserError(_not_opened(source))
        try:
            yield VideoFile(capture, source if isinstance(source, Path) else None)
        except cv2.error as error:
            raise UserError(f"{source}: cannot be decoded ({' '.join(str(error).split())[:200]})") from error
    finally:
        capture.release()


def _not_opened(source: str | int | Path) -> str:
    if isinstance(source, int):
        return f"camera {source}: there is none of this number, or another program holds it"
    if isinstance(source, str):
        return f"{source}: cannot be reached, or sends no video"
    return f"{source}: cannot be opened as a video (no video in it, damaged, or an unknown codec)"


def _check_file(path: Path) -> None:
    try:
        if not path.is_file():
            raise UserError(f"{path}: {'not a file' if path.exists() else 'no such video'}")
        if not path.stat().st_size:
            raise UserError(f"{path}: the file is empty; copy it again")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
