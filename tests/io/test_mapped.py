"""What is announced of a mapped array is in memory when it is asked for, and nothing else changes."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.io.mapped import will_need

ROWS, WIDTH = 4096, 256


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An array on the disk, and none of it in memory."""
    path = tmp_path / "features.npy"
    np.save(path, np.arange(ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH))
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def _share_in_memory(array: NDArray[Any]) -> float:
    """The share of a mapped array's pages that the kernel has; asking reads nothing."""
    begin = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
    size = array.ctypes.data + array.nbytes - begin
    pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
    if ctypes.CDLL(None).mincore(ctypes.c_void_p(begin), ctypes.c_size_t(size), pages):
        pytest.skip("this file system does not say what is in memory")
    return sum(page & 1 for page in pages) / len(pages)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_the_announced_rows_are_read_all_at_once(file: Path) -> None:
    features = np.load(file, mmap_mode="r")
    if _share_in_memory(features) > 0.5:
        pytest.skip("this file system keeps files in memory")
    announced = features[1000:3500]
    will_need(features, 1000, 3500)
    deadline = time.monotonic() + 30
    while _share_in_memory(announced) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert np.array_equal(announced[:, 0], np.arange(1000, 3500, dtype=np.float32) * WIDTH)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, ROWS), (ROWS - 1, ROWS), (7, 7)])
def test_any_rows_can_be_announced(file: Path, start: int, stop: int) -> None:
    features = np.load(file, mmap_mode="r")
    will_need(features, start, stop)
    assert np.array_equal(features, np.load(file))


def test_what_begins_within_a_file_is_found_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map begins before the array where the array's offset is no multiple of what a map can begin at."""
    asked: list[tuple[int, int]] = []

    class Map:
        def madvise(self, advice: int, start: int, length: int) -> None:
            asked.append((start, start + length))

    offset = mmap.ALLOCATIONGRANULARITY + 128
    features = np.memmap(file, np.float32, "r", offset, (16, WIDTH))
    features._mmap = Map()
    will_need(features, 4, 8)
    page, (first, last) = mmap.PAGESIZE, (128 + 4 * 4 * WIDTH, 128 + 8 * 4 * WIDTH)
    assert asked == [(first // page * page, last)]


def test_arrays_in_memory_are_left_alone() -> None:
    will_need(np.zeros((3, 4)), 0, 3)
