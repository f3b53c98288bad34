"""The linear probe against scikit-learn, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from harness.errors import HarnessError
from harness.methods.linear_probe import LinearProbe, LinearProbeConfig
from harness.plugin import Task, TrainingVideo


def _videos(count: int = 60, dim: int = 8) -> list[TrainingVideo]:
    draw = torch.Generator().manual_seed(0)
    videos = []
    for i in range(count):
        features = torch.randn(3 + i % 5, dim, generator=draw) * torch.arange(1, dim + 1)
        features[:, 0] += 2.0 * (i % 2)
        videos.append(TrainingVideo(features, torch.tensor([1.0 - i % 2, float(i % 2)])))
    return videos


def _fitted(videos: list[TrainingVideo], **settings: object) -> LinearProbe:
    dim = videos[0].features.shape[1]
    probe = LinearProbe(LinearProbeConfig(**settings), Task("t", ("normal", "riot"), ("normal", "riot"), dim))
    probe.fit(iter(videos))
    return probe


def _arrays(videos: list[TrainingVideo]) -> tuple[np.ndarray, np.ndarray]:
    x = np.stack([v.features.double().mean(dim=0).numpy() for v in videos])
    return x, np.array([1.0 - float(v.labels[0]) for v in videos])


def test_equals_sklearn_ridge() -> None:
    videos = _videos()
    x, y = _arrays(videos)
    probe = _fitted(videos, ridge=0.3)
    # Penalty 0.3 times the mean variance, per video; sklearn's alpha is for the sum over videos.
    reference = Ridge(alpha=0.3 * x.var(axis=0).mean() * len(x)).fit(x, y)
    np.testing.assert_allclose(probe.weight.numpy(), reference.coef_, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(float(probe.bias), reference.intercept_, rtol=1e-4)


def test_chosen_ridge_has_the_least_leave_one_out_error() -> None:
    videos = _videos(30)
    x, y = _arrays(videos)
    variance = x.var(axis=0).mean() * len(x)

    def left_out(ridge: float) -> float:
        errors = []
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            errors.append(Ridge(alpha=ridge * variance).fit(x[rest], y[rest]).predict(x[[i]])[0] - y[i])
        return float(np.square(errors).mean())

    grid = np.logspace(-4, 2, 25)
    best = grid[int(np.argmin([left_out(ridge) for ridge in grid]))]
    np.testing.assert_allclose(_fitted(videos).weight, _fitted(videos, ridge=float(best)).weight, rtol=1e-5)


@pytest.mark.parametrize("standardise", [True, False])
def test_scale_of_the_features_does_not_matter(standardise: bool) -> None:
    videos = _videos()
    scaled = [TrainingVideo(v.features * 30, v.labels) for v in videos]
    small, large = _fitted(videos, standardise=standardise), _fitted(scaled, standardise=standardise)
    x, lengths = torch.randn(2, 4, 8), torch.tensor([4, 4])
    torch.testing.assert_close(small.predict(x, lengths).scores, large.predict(x * 30, lengths).scores)


def test_scores_keep_order_far_out() -> None:
    probe = _fitted(_videos())
    steps = torch.linspace(-50, 50, 101)
    x = steps[None, :, None] * probe.weight / probe.weight.norm() ** 2
    scores = probe.predict(x, torch.tensor([101])).scores[0]
    assert (scores.diff() > 0).all()
    assert ((scores > 0) & (scores < 1)).all()


def test_empty_videos_are_skipped_and_one_label_is_refused() -> None:
    videos = _videos()
    empty = TrainingVideo(torch.zeros(0, 8), torch.tensor([1.0, 0.0]))
    assert torch.equal(_fitted([*videos, empty]).weight, _fitted(videos).weight)
    with pytest.raises(HarnessError, match="normal and abnormal"):
        _fitted(videos[::2])


def test_state_is_saved() -> None:
    probe = _fitted(_videos())
    assert set(probe.saved_state()) == {"weight", "bias"}
