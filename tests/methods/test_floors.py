"""Floors without training: random scores and feature norms."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.methods.feature_norm import FeatureNorm
from harness.methods.random_scores import RandomScores
from harness.plugin import MethodConfig, Task

TASK = Task("d", ("Normal", "Anomaly"), ("normal", "anomaly"), 16)


def _random(seed: int, features: Tensor) -> Tensor:
    torch.manual_seed(seed)
    method = RandomScores(MethodConfig(), TASK)
    return method.predict(features, torch.full((len(features),), features.shape[1])).scores


def test_random_scores_are_uniform_and_unrelated_to_the_features() -> None:
    features = torch.randn(20, 500, 16, generator=torch.Generator().manual_seed(0))
    scores = _random(0, features)
    counts = torch.histc(scores, 10, 0, 1)
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
    flat = scores.flatten()
    for other in (flat.roll(1), features[..., 0].flatten(), features.norm(dim=-1).flatten()):
        assert abs(float(torch.corrcoef(torch.stack([flat, other]))[0, 1])) < 0.04
    assert flat.unique().numel() > 9900


def test_random_scores_follow_the_seed_and_the_snippet() -> None:
    features = torch.randn(3, 50, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(_random(0, features), _random(0, features))
    assert (_random(0, features) != _random(1, features)).float().mean() > 0.99
    assert torch.equal(_random(0, features)[1:2, 10:20], _random(0, features[1:2, 10:20]))


def test_feature_norm_keeps_the_order_of_norms() -> None:
    features = torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(0)) * torch.rand(2, 30, 1) * 30
    scores = FeatureNorm(MethodConfig(), TASK).predict(features, torch.tensor([30, 30])).scores
    assert torch.equal(scores.flatten().argsort(), features.norm(dim=-1).flatten().argsort())
    assert scores.min() >= 0
    assert scores.max() < 1
