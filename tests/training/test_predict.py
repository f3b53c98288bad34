"""Prediction of a split: windows, batching, crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.plugin import Prediction
from harness.records.alignment import Alignment
from harness.training.predict import pieces, predict
from tests.tiny import Tiny, TinyConfig, split, task

STRIDE = Alignment(kind="stride")


@pytest.mark.parametrize("window", [None, 4, 7])
def test_scores_do_not_depend_on_batching(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    method = Tiny(TinyConfig(window=window), task())
    data = split([1, 3, 4, 8, 9, 30])
    together, _ = predict(method, data, STRIDE)
    monkeypatch.setattr("harness.training.predict.SNIPPETS_PER_BATCH", {"cpu": 1})
    alone, _ = predict(method, data, STRIDE)
    np.testing.assert_allclose(together.scores, alone.scores, atol=1e-7)
    with torch.no_grad():
        direct = method.predict(torch.from_numpy(data.item_features(5))[None], torch.tensor([30])).scores[0].numpy()
    np.testing.assert_allclose(together.scores[together.rows(5)], direct, atol=1e-7)


def test_a_video_of_whole_windows_gets_no_empty_one() -> None:
    assert [(p.start, p.length) for p in pieces(split([8]), 4)] == [(0, 4), (4, 4)]
    assert [(p.start, p.length) for p in pieces(split([9]), 4)] == [(0, 4), (4, 4), (8, 1)]


def test_crops_are_averaged() -> None:
    method = Tiny(TinyConfig(), task())
    data = split([5, 6], crops=3)
    merged, _ = predict(method, data, STRIDE)
    assert merged.videos == ("v00", "v01")
    with torch.no_grad():
        crops = [
            method.predict(torch.from_numpy(data.item_features(i))[None], torch.tensor([6])).scores for i in (3, 4, 5)
        ]
    np.testing.assert_allclose(merged.scores[merged.rows(1)], torch.cat(crops).mean(0).numpy(), atol=1e-6)


def test_a_nan_score_names_its_video() -> None:
    class Broken(Tiny):
        def predict(self, features: torch.Tensor, lengths: torch.Tensor) -> Prediction:
            scores = super().predict(features, lengths).scores
            return Prediction(torch.where(lengths[:, None] == 6, torch.nan, scores))

    with pytest.raises(HarnessError, match="NaN or infinite score for video v01"):
        predict(Broken(TinyConfig(), task()), split([5, 6, 7]), STRIDE)
