"""A `.npy` file that grows by rows, and its hash, which another thread computes meanwhile."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.io.digests import file_digest

# Appended arrays that wait to be hashed; each may be hundreds of megabytes.
_MOST = 2


class ArrayFile:
    """Rows `[N, D]` on their way to the disk.

    The header, which comes first, holds the number of rows: the hash is that of a file of `expected` rows. If there are
    others in the end, the file is read once more.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], width: int, expected: int) -> None:
        self.path = path
        self._dtype, self._width, self._expected = dtype, width, expected
        self._rows = 0
        self._stream = path.open("wb")
        header = self._header(expected)
        self._stream.write(header)
        self._digest = hashlib.sha256(header)
        self._hashing: deque[Future[None]] = deque()
        self._pool = ThreadPoolExecutor(1)

    def append(self, rows: NDArray[np.floating[Any]]) -> None:
        """Append rows `[n, D]`, whose array nobody changes any more."""
        content = np.ascontiguousarray(rows, dtype=self._dtype).data.cast("B") if len(rows) else b""
        self._hashing.append(self._pool.submit(self._digest.update, content))
        self._stream.write(content)
        self._rows += len(rows)
        while len(self._hashing) > _MOST:
            self._hashing.popleft().result()

    def finish(self) -> str:
        """Write the number of rows, close the file and return the hex SHA-256 of its bytes."""
        self._stream.seek(0)
        self._stream.write(self._header(self._rows))
        self.close()
        return self._digest.hexdigest() if self._rows == self._expected else file_digest(self.path)

    def close(self) -> None:
        """Close the file as it is."""
        self._stream.close()
        self._pool.shutdown()

    def _header(self, rows: int) -> bytes:
        """The header, padded by numpy so that any number of rows has room."""
        header = io.BytesIO()
        shape = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(header, {**shape, "shape": (rows, self._width)})
        return header.getvalue()
