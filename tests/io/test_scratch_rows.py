"""Rows come back as they were kept, whatever was asked for in between, and a refusal of the system is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from harness.errors import Unwritable
from harness.io.scratch_rows import ScratchRows

# More than the system reads for one request.
SHAPE = (300, 512)


def _row(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE, dtype=np.float32)


def test_rows_come_back_in_any_order(tmp_path: Path) -> None:
    rows = ScratchRows(tmp_path / "new" / "rows.f32", 5, SHAPE)
    assert len(rows) == 5
    assert (tmp_path / "new" / "rows.f32").stat().st_size == 5 * 300 * 512 * 4
    for row in (3, 0, 4):
        rows[row] = _row(row)
    rows[0] = _row(9)
    for row in (4, 0, 3):
        rows.will_need(row)
    for row, seed in ((0, 9), (3, 3), (4, 4)):
        np.testing.assert_array_equal(rows[row], _row(seed))
        rows[row][:] = 0  # a copy
        np.testing.assert_array_equal(rows[row], _row(seed))


def test_an_array_with_gaps_is_kept_as_it_reads(tmp_path: Path) -> None:
    rows = ScratchRows(tmp_path / "rows.f32", 2, SHAPE)
    rows[1] = np.asfortranarray(_row(0))
    np.testing.assert_array_equal(rows[1], _row(0))


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    rows = ScratchRows(tmp_path / "rows.f32", 1, SHAPE)
    (tmp_path / "rows.f32").unlink()
    with pytest.raises(Unwritable, match=r"rows\.f32"):
        rows[0] = _row(0)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="a system that cannot be told")
def test_a_system_may_refuse_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ScratchRows(tmp_path / "rows.f32", 1, SHAPE)
    rows[0] = _row(0)

    def refuse(*arguments: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    rows.will_need(0)
    np.testing.assert_array_equal(rows[0], _row(0))
