"""The hash that a growing file has in the end is that of its bytes, whether as many rows came as were expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data import array_file
from harness.data.array_file import ArrayFile
from harness.io.digests import file_digest


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("counts", [(), (3,), (5, 0, 1), (2, 7, 400, 1, 90)])
@pytest.mark.parametrize("wrong", [0, 1, 10**9])
def test_the_hash_is_that_of_the_file(dtype: str, counts: tuple[int, ...], wrong: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((count, 6)).astype(dtype) for count in counts]
    array = ArrayFile(tmp_path / "train.npy", np.dtype(dtype), 6, sum(counts) + wrong)
    for rows in arrays:
        array.append(rows)
    assert array.finish() == file_digest(tmp_path / "train.npy")
    found = np.load(tmp_path / "train.npy")
    assert found.dtype == dtype
    assert np.array_equal(found, np.concatenate([np.zeros((0, 6), dtype), *arrays]))


def test_nothing_is_read_again_where_all_rows_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "file_digest", lambda path: "read again")
    for expected, again in ((4, False), (5, True)):
        array = ArrayFile(tmp_path / "train.npy", np.dtype("float32"), 2, expected)
        array.append(np.ones((4, 2), np.float32))
        assert (array.finish() == "read again") is again
