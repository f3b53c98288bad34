"""Frames of a file that is still being written, and of cameras and addresses."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.errors import UserError
from harness.video.decode import Frame, Frames, VideoFile, opened

# Frames before the end of a growing file that are not believed yet: their packets may be half written.
_MARGIN = 8
_POLL = 0.25
# Files whose index is written at the end.
_CLOSED = (".mp4", ".m4v", ".mov")


class GrowingFile:
    """A file that may grow: at its end it is read again, until it has not grown for `idle` seconds.

    What is read again is skipped, so that each frame comes once.
    """

    def __init__(self, path: Path, idle: float) -> None:
        self._path = path
        self._idle = idle
        self._stack = ExitStack()
        self._file: VideoFile | None = None
        self._size = -1
        self._ahead: deque[Frame] = deque()
        self._frame: Frame | None = None
        self._given = 0
        self._complete = False
        self.fps = 0.0

    def grab(self) -> bool:
        """Go to the next frame, waiting for it where the file grows; False once it has ended."""
        while not self._complete and len(self._ahead) <= _MARGIN:
            if self._file is None:
                self._open()
            elif self._file.grab():
                self._ahead.append(self._file.retrieve())
            else:
                self._wait()
        if not self._ahead:
            return False
        self._frame = self._ahead.popleft()
        self._given += 1
        return True

    def retrieve(self) -> Frame:
        """Return the frame that was grabbed last."""
        assert self._frame is not None
        return self._frame

    def close(self) -> None:
        """Close the file."""
        self._stack.close()
        self._file = None

    def _open(self) -> None:
        self.close()
        self._ahead.clear()
        self._size = self._path.stat().st_size
        file = self._stack.enter_context(opened(self._path))
        self.fps = file.fps
        for _ in range(self._given):
            if not file.grab():
                break
        self._file = file

    def _wait(self) -> None:
        """At the end of what is there: wait for more, or take what is left."""
        until = time.monotonic() + self._idle
        while time.monotonic() < until:
            if self._path.stat().st_size != self._size:
                self.close()
                return
            time.sleep(_POLL)
        self._complete = True


@contextmanager
def live(source: str, idle: float) -> Iterator[tuple[Frames, float]]:
    """Yield the frames of a growing file, an address such as `rtsp://...`, or a camera's number, and their rate.

    Raises:
        UserError: it cannot be opened.
    """
    path = Path(source)
    camera = source.isdecimal() and not path.exists()
    if "://" in source or camera:
        with opened(int(source) if camera else source) as video:
            yield video, video.fps
        return
    try:
        with opened(path) as video:
            fps = video.fps
    except UserError as error:
        hint = "; an .mp4 can be read once it is finished only, .mkv and .ts while they grow"
        raise UserError(f"{error}{hint if path.suffix.lower() in _CLOSED and path.exists() else ''}") from error
    growing = GrowingFile(path, idle)
    try:
        yield growing, fps
    finally:
        growing.close()
