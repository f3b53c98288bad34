"""Fitted training videos: the same from memory, from the scratch file and fitted anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import Unwritable
from harness.plugin import Sampling
from harness.training import fitting
from harness.training.fitting import FittedVideos, fit_length, fitted_bytes
from harness.training.sampling import Batches, ahead
from tests.tiny import split

SAMPLING = Sampling("pairs", 2, 8, 3, fit="pool-or-pad")


def _epochs(scratch: Path | None) -> list[bytes]:
    data = split([5, 20, 9, 31, 8, 12, 7, 40])
    batches = Batches(data, np.arange(8), SAMPLING, 0, "d", scratch)
    found = [batch for epoch in range(2) for batch in batches.epoch(epoch)]
    return [batch.features.numpy().tobytes() + batch.lengths.numpy().tobytes() for batch in found]


def test_batches_are_the_same_wherever_videos_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "work" / "fitted.f32"
    in_memory = _epochs(scratch)
    assert not scratch.exists(), "small sets need no file"
    data = split([5, 20, 9, 31, 8, 12, 7, 40])
    size = fitted_bytes(data, np.arange(8), SAMPLING)
    monkeypatch.setattr(fitting, "KEPT_BYTES", size // 3)
    assert _epochs(None) == in_memory, "some kept, some fitted anew"
    assert _epochs(scratch) == in_memory
    assert scratch.stat().st_size == size


def test_a_video_is_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "KEPT_BYTES", 0)
    calls: list[int] = []
    monkeypatch.setattr(fitting, "fit_length", lambda x, s: (calls.append(len(x)), fit_length(x, s))[1])
    data = split([5, 20])
    videos = FittedVideos(data, np.arange(2), SAMPLING, tmp_path / "fitted.f32")
    for _ in range(3):
        fitted, length = videos[1]
        assert length == 8
        np.testing.assert_array_equal(fitted, fit_length(data.item_features(1), SAMPLING)[0])
    assert calls == [20]


def test_no_room_for_the_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "KEPT_BYTES", 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="file"):
        FittedVideos(split([5, 20]), np.arange(2), SAMPLING, tmp_path / "file" / "fitted.f32")


def test_batches_made_ahead_are_the_same_and_errors_arrive() -> None:
    batches = Batches(split([5, 20, 9, 31, 8, 12]), np.arange(6), SAMPLING, 0, "d")
    plain = [batch.features.numpy() for batch in batches.epoch(0)]
    np.testing.assert_array_equal([batch.features.numpy() for batch in ahead(batches.epoch(0))], plain)

    def broken():
        yield from batches.epoch(0)
        raise OSError("the bank is gone")

    with pytest.raises(OSError, match="the bank is gone"):
        list(ahead(broken()))
