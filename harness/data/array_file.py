"""A `.npy` file that grows by rows, and its hash, which another thread computes meanwhile."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.io.digests import file_digest
from harness.io.npy import header

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
        first = header(dtype, (expected, width))
        self._stream.write(first)
        self._digest = hashlib.sha256(first)
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
        self._stream.write(header(self._dtype, (self._rows, self._width)))
        self.close()
        return self._digest.hexdigest() if self._rows == self._expected else file_digest(self.path)

    def close(self) -> None:
        """Close the file as it is."""
        self._stream.close()
        self._pool.shutdown()
