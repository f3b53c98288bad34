"""BN-WVAD: selection, distances, lengths, switches, and the official names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.methods.bnwvad import BNWVAD
from harness.plugin import Batch, Task, TrainingPlan

SMALL = {"hidden": 8, "attention_width": 8, "feedforward": 6, "head_widths": (4, 3), "heads": 2}


def _model(dim: int = 5, **settings: Any) -> BNWVAD:
    torch.manual_seed(0)
    return BNWVAD(BNWVAD.Config(**{**SMALL, **settings}), Task("t", ("normal", "riot"), ("", ""), dim))


def _batch(normal: int, abnormal: int, length: int = 20) -> Batch:
    torch.manual_seed(1)
    labels = torch.tensor([[1.0, 0.0]] * normal + [[0.0, 1.0]] * abnormal)
    features = torch.randn(normal + abnormal, length, 5)
    return Batch(features, torch.full((len(labels),), length), labels, normal)


NORMAL = [[0.1, 0.5, 0.3, 0.2], [0.9, 0.0, 0.4, 0.8]]
ABNORMAL = [[1.0, 7.0, 6.0, 5.0], [3.0, 2.0, 0.5, 0.1]]


@pytest.mark.parametrize(
    ("sample_ratio", "batch_ratio", "normal", "abnormal"),
    [
        # The farthest of each video; then the three farthest of all, which are of one video; then both.
        (0.25, 0.0, [0.5, 0.9], [7.0, 3.0]),
        (0.0, 0.4, [0.5, 0.9, 0.3], [7.0, 6.0, 5.0]),
        (0.25, 0.4, [0.5, 0.9, 0.3, 0.8], [7.0, 6.0, 5.0, 3.0]),
        (0.0, 0.0, [], []),
    ],
)
def test_selection(sample_ratio: float, batch_ratio: float, normal: list[float], abnormal: list[float]) -> None:
    model = _model(sample_ratio=sample_ratio, batch_ratio=batch_ratio)
    distances = torch.tensor([*NORMAL, *ABNORMAL])
    pulled, pushed = (distances.flatten()[rows] for rows in model.select(distances, 2))
    assert pulled.tolist() == pytest.approx(normal)
    assert pushed.tolist() == pytest.approx(abnormal)
    hinge = [max(0.0, 1 + a - b) for a, b in zip(normal, abnormal, strict=True)]
    assert float(model.separation(distances, 2)) == pytest.approx(sum(hinge) / max(1, len(hinge)))


@pytest.mark.parametrize(("normal", "abnormal", "length"), [(1, 6, 20), (5, 1, 20), (1, 1, 1), (1, 9, 3)])
def test_any_counts_of_videos(normal: int, abnormal: int, length: int) -> None:
    model, batch = _model(), _batch(normal, abnormal, length)
    terms = model.training_loss(batch)
    assert all(term.isfinite() for term in terms.values())
    for distances in model(batch.features, batch.lengths).distances:
        pulled, pushed = model.select(distances, normal)
        assert len(pulled) == len(pushed)
        assert (pulled < normal * length).all()
        assert (pushed >= normal * length).all()


@pytest.mark.parametrize("kernels", [(1, 1, 1), (5, 3, 3)])
def test_a_video_scores_the_same_alone_and_beside_longer_ones(kernels: tuple[int, int, int]) -> None:
    model = _model(head_kernels=kernels).eval()
    lengths = torch.tensor([1, 13, 600])
    features = torch.randn(3, 600, 5)
    with torch.no_grad():
        together = model.predict(features, lengths).scores
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
    assert together.isfinite().all()


def test_score_is_the_product_or_one_of_its_factors() -> None:
    batch = _batch(1, 1)
    read = {
        score: _model(score=score).eval().predict(batch.features, batch.lengths).scores
        for score in ("product", "classifier", "distance")
    }
    torch.testing.assert_close(read["product"], read["classifier"] * read["distance"])
    assert read["classifier"].max() <= 1 < read["distance"].max()


def test_distances_in_training_are_from_the_updated_statistics() -> None:
    model, batch = _model(), _batch(3, 3)
    out = model(batch.features, batch.lengths)
    for features, distances in zip(out.features, out.distances, strict=True):
        flat = features.detach().flatten(0, 1)
        mean, variance = 0.1 * flat.mean(dim=0), 0.9 + 0.1 * flat.var(dim=0)
        expected = ((features - mean).square() / variance).sum(dim=2).sqrt()
        torch.testing.assert_close(distances, expected)


def test_constant_features_stay_finite() -> None:
    model, batch = _model(), _batch(2, 2)
    optimizer = model.schedules(TrainingPlan(1, 30, (1, 1)))[0].optimizer
    for _ in range(30):
        zero = Batch(torch.zeros_like(batch.features), batch.lengths, batch.labels, 2)
        optimizer.zero_grad()
        torch.stack(list(model.training_loss(zero).values())).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
    for layer in model.head.layers:
        layer.norm.running_var.zero_()
    assert model.eval().predict(torch.zeros(1, 4, 5), torch.tensor([4])).scores.isfinite().all()


def test_weights_switch_terms_off() -> None:
    terms = _model(separation_weights=(0.0, 20.0), normal_weight=0.0).training_loss(_batch(2, 2))
    assert {name for name, term in terms.items() if term != 0} == {"separation2"}


def test_official_size_names_and_schedule() -> None:
    model = BNWVAD(BNWVAD.configure("xd-violence", "paper", {}), Task("t", ("normal", "riot"), ("", ""), 1024))
    assert sum(p.numel() for p in model.parameters()) == BNWVAD.card.parameters
    sampling, looks = model.sampling(), model.looks()
    steps = sampling.epochs * (sampling.steps_per_epoch or 0)
    assert (steps, sampling.restart, sampling.crops, sampling.batch) == (1000, "exhausted", "apart", 64)
    assert looks.every is not None
    assert len(range(looks.first, steps + 1, looks.every)) == 200
    assert model.schedules(TrainingPlan(10, 100, (160, 148)))[0].clip_norm == 1.0
    names = model.official_state(
        {
            "module.normal_head.bn2.running_var": torch.ones(16),
            "normal_head.conv3.bias": torch.ones(1),
            "selfatt.layers.1.0.fn.to_out.0.bias": torch.ones(512),
        }
    )
    assert list(names) == ["head.layers.1.norm.running_var", "head.out.bias", "encoder.blocks.1.attention.out.bias"]
    assert set(names) < set(model.state_dict())
