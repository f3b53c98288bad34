"""What a page shows of a video: thumbnails, a version that a browser plays, and one with the scores drawn into it.

All in one pass over the file. Videos are encoded by PyAV.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from harness.detect.detection import Detection
from harness.errors import UserError
from harness.io.atomic import replacing
from harness.video.decode import Frame, opencv, opened

_WIDTH, _THUMB = 640, 200
# Of videos that do not say theirs.
_FPS = 25.0
_CODECS = {"h264", "vp8", "vp9", "av1"}
_CONTAINERS = {".mp4", ".m4v", ".webm"}
_INK, _EVENT = (245, 245, 245), (60, 60, 230)


def playable(path: Path) -> bool:
    """Whether a browser plays the file as it is."""
    if path.suffix.lower() not in _CONTAINERS:
        return False
    av = pyav()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.codec_context.name in _CODECS and stream.codec_context.pix_fmt in ("yuv420p", "yuvj420p")
    except (av.FFmpegError, IndexError, OSError):
        return False


def show_video(
    found: Detection, path: Path, preview: Path | None, annotated: Path | None, top: float
) -> dict[int, bytes]:
    """Return thumbnails (JPEG) of the peaks of a video's events by frame, and write the versions that were asked for.

    A score of `top` fills the bar that is drawn.

    Raises:
        UserError: the video cannot be decoded, or not be encoded.
    """
    wanted = {event.peak for event in found.events}
    thumbs: dict[int, bytes] = {}
    with ExitStack() as stack:
        video = stack.enter_context(opened(path))
        plain, drawn = (
            stack.enter_context(_encoding(target, found.fps or _FPS)) if target else None
            for target in (preview, annotated)
        )
        index = 0
        while (plain or drawn or len(thumbs) < len(wanted)) and video.grab():
            if plain or drawn or index in wanted:
                frame = _scaled(video.retrieve(), _WIDTH)
                if index in wanted:
                    thumbs[index] = _jpeg(_scaled(frame, _THUMB))
                if plain:
                    plain.add(frame)
                if drawn:
                    drawn.add(_drawn(frame, found, index, top))
            index += 1
    return thumbs


def pyav() -> Any:
    """Return the module `av`; raises UserError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError("videos are written by PyAV, which is missing; pip install 'harness-wsvad[video]'") from error
    return av


@contextmanager
def _encoding(path: Path, fps: float) -> Iterator[_Encoder]:
    """Yield what encodes frames into a file that is put in its place at the end."""
    with replacing(path) as temporary:
        encoder = _Encoder(temporary, fps)
        try:
            yield encoder
            encoder.flush()
        finally:
            encoder.close()


class _Encoder:
    """Encodes frames as H.264, which every browser plays."""

    def __init__(self, path: Path, fps: float) -> None:
        self._container = pyav().open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "26"}
        self._size = (0, 0)

    def add(self, frame: Frame) -> None:
        """Encode a frame; those of another size than the first are stretched to it."""
        if self._size == (0, 0):
            self._size = (frame.shape[1] // 2 * 2, frame.shape[0] // 2 * 2)  # the format has even sizes alone
            self._stream.width, self._stream.height = self._size
        if frame.shape[1::-1] != self._size:
            frame = opencv().resize(frame, self._size)
        picture = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")
        self._container.mux(self._stream.encode(picture))

    def flush(self) -> None:
        """Encode what is left."""
        if self._size != (0, 0):
            self._container.mux(self._stream.encode())

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _scaled(frame: Frame, width: int) -> Frame:
    height, own = frame.shape[:2]
    if own <= width:
        return frame
    size = (width, max(round(height * width / own), 2))
    return np.asarray(opencv().resize(frame, size, interpolation=opencv().INTER_AREA), dtype=np.uint8)


def _jpeg(frame: Frame) -> bytes:
    cv2 = opencv()
    return bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


def _drawn(frame: Frame, found: Detection, index: int, top: float) -> Frame:
    """The frame with its snippet's score as a bar and a number, and a border within an event."""
    cv2 = opencv()
    at = min(int(np.searchsorted(found.edges, index, side="right")) - 1, len(found.scores) - 1)
    score = float(found.scores[max(at, 0)])
    drawn = frame.copy()
    height, width = drawn.shape[:2]
    event = _event_at(found, index)
    bar = max(height // 40, 4)
    cv2.rectangle(
        drawn,
        (0, height - bar),
        (round(width * min(max(score / top, 0.0), 1.0)), height),
        _EVENT if event else _INK,
        -1,
    )
    words = f"{score:.3g}" + (f" {event}" if event else "")
    scale = max(width / 640, 0.4)
    for colour, thick in (((0, 0, 0), 4), (_INK, 1)):
        cv2.putText(drawn, words, (8, height - bar - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, colour, thick)
    if event:
        cv2.rectangle(drawn, (0, 0), (width - 1, height - 1), _EVENT, max(width // 160, 2))
    return np.asarray(drawn, dtype=np.uint8)


def _event_at(found: Detection, index: int) -> str:
    """Name of the event that a frame lies in, "" for none."""
    event = next((event for event in found.events if event.start <= index < event.end), None)
    return (event.label or "event") if event else ""
