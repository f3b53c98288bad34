"""Causal tests: what happens later changes no score before, of any method."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from harness.check.subject import Options, Subject
from harness.data.bank import Split
from harness.plugin import Prediction
from harness.records.alignment import Alignment
from harness.registry import method_class, method_names
from harness.training.predict import predict
from tests.tiny import Tiny, TinyConfig, split, task

ALIGNMENT = Alignment(kind="stride", stride=16)
SEEN = 3


def changed(videos: Split, after: int) -> Split:
    """The same videos with other snippets from `after` on."""
    features = np.array(videos.features)
    for start, item in zip(videos.starts, videos.items, strict=True):
        features[start + after : start + item.snippets] = np.random.default_rng(9).standard_normal(
            (item.snippets - after, features.shape[1])
        )
    return dataclasses.replace(videos, features=features)


@pytest.mark.parametrize("name", method_names())
def test_the_future_changes_no_score_of_the_past(name: str) -> None:
    subject = Subject(method_class(name), Options())
    method = subject.build()
    if not subject.by_gradient:
        subject.learn(method, steps=1)
    videos = split([6, 4], dim=subject.widths[0])
    one, other = (predict(method, each, ALIGNMENT, causal=True)[0] for each in (videos, changed(videos, SEEN)))
    for index, item in enumerate(videos.items):
        before, after = one.scores[one.rows(index)], other.scores[other.rows(index)]
        np.testing.assert_allclose(before[:SEEN], after[:SEEN], rtol=1e-5, atol=1e-6)
        assert item.snippets == len(before)
    assert not np.allclose(one.scores, other.scores, atol=1e-6)


class Ahead(Tiny):
    """Scores a snippet by the next one."""

    def predict(self, features: torch.Tensor, lengths: torch.Tensor) -> Prediction:
        return Prediction(super().predict(features, lengths).scores.roll(-1, dims=1))


def test_a_method_that_looks_ahead_scores_otherwise() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = Ahead(TinyConfig(), task())
    videos = split([9, 7])
    offline, causal = (predict(method, videos, ALIGNMENT, causal=causal)[0] for causal in (False, True))
    assert not np.allclose(offline.scores, causal.scores)
    alone = predict(method, split([9, 7]).subset(np.array([True, False])), ALIGNMENT, causal=True)[0]
    np.testing.assert_allclose(causal.scores[:9], alone.scores, atol=1e-6)
