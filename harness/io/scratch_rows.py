"""Rows of numbers in a file that is larger than memory, read and written by place."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.io.atomic import reserved, unwritable
from harness.io.mapped import requests


class ScratchRows:
    """So many rows of one shape, float32, in a new file that lasts as long as a training.

    It is not mapped into memory: to take mapped pages away again costs the kernel more than to copy rows.

    Raises:
        Unwritable: there is no room for the file.
    """

    def __init__(self, path: Path, rows: int, shape: tuple[int, ...]) -> None:
        self._path, self._rows, self._shape = path, rows, shape
        self._row_bytes = 4 * math.prod(shape)
        reserved(path, rows * self._row_bytes)

    def __len__(self) -> int:
        return self._rows

    def will_need(self, row: int) -> None:
        """Let the system begin to read a row that will be asked for soon; where it cannot be told, nothing happens."""
        if hasattr(os, "posix_fadvise"):
            first = row * self._row_bytes
            # A system may refuse advice.
            with contextlib.suppress(OSError), self._path.open("rb") as file:
                for start, size in requests(first, first + self._row_bytes):
                    os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_WILLNEED)

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """Return a row (a copy)."""
        values = np.fromfile(self._path, np.float32, math.prod(self._shape), offset=row * self._row_bytes)
        return values.reshape(self._shape)

    def __setitem__(self, row: int, values: NDArray[np.float32]) -> None:
        """Keep a row.

        Raises:
            Unwritable: the system refuses.
        """
        try:
            with self._path.open("r+b") as file:
                file.seek(row * self._row_bytes)
                file.write(np.ascontiguousarray(values, np.float32).data)
        except OSError as error:
            raise unwritable(self._path, error) from error
