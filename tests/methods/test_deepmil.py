"""DeepMIL: the published loss, lengths, unequal lists, and the learning-rate quirk."""

from __future__ import annotations

import pytest
import torch

from harness.methods.deepmil import DeepMIL, DeepMILConfig
from harness.plugin import Batch, Task, TrainingPlan


def _model(**settings: object) -> DeepMIL:
    torch.manual_seed(0)
    return DeepMIL(DeepMILConfig(**settings), Task("t", ("normal", "riot"), ("normal", "riot"), 6))


def _labels(normal: int, abnormal: int) -> torch.Tensor:
    return torch.tensor([[1.0, 0.0]] * normal + [[0.0, 1.0]] * abnormal)


def test_loss_by_hand() -> None:
    model = _model(smooth=0.1, sparsity=0.01).eval()
    scores = torch.tensor([[0.2, 0.9, 0.1], [0.3, 0.3, 0.4], [0.5, 0.1, 0.2], [0.7, 0.6, 0.8]])
    terms = model.bag_terms(scores, torch.tensor([3, 3, 3, 3]), normal=2)
    torch.testing.assert_close(terms["hinge"], torch.tensor([1.4, 0.6]))
    torch.testing.assert_close(terms["smooth"], torch.tensor([0.017, 0.005]))
    torch.testing.assert_close(terms["sparsity"], torch.tensor([0.008, 0.021]))


def test_rows_beyond_the_length_change_nothing() -> None:
    model = _model().eval()
    features = torch.randn(4, 9, 6)
    lengths = torch.tensor([9, 4, 5, 2])
    other = features.clone()
    other[torch.arange(9) >= lengths[:, None]] = 7.0
    first = model.training_loss(Batch(features, lengths, _labels(2, 2), 2))
    second = model.training_loss(Batch(other, lengths, _labels(2, 2), 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    short = model.training_loss(Batch(features[:, :9], torch.tensor([9, 9, 9, 9]), _labels(2, 2), 2))
    assert not torch.equal(short["sparsity"], first["sparsity"])


@pytest.mark.parametrize(("normal", "abnormal"), [(1, 4), (5, 2)])
def test_unequal_lists_pair_in_turn(normal: int, abnormal: int) -> None:
    model = _model().eval()
    scores = torch.rand(normal + abnormal, 5)
    lengths = torch.full((normal + abnormal,), 5)
    hinge = model.bag_terms(scores, lengths, normal)["hinge"]
    best = scores.amax(dim=1)
    expected = [1 - best[normal + i % abnormal] + best[i % normal] for i in range(max(normal, abnormal))]
    torch.testing.assert_close(hinge, torch.stack(expected))


def test_score_dropout_is_published_behaviour_and_optional() -> None:
    features = torch.randn(8, 50, 6)
    dropped = _model().train()(features)
    assert 0.4 < (dropped == 0).float().mean() < 0.8
    assert not (_model(score_dropout=False).train()(features) == 0).any()
    assert _model().eval().predict(features, torch.full((8,), 50)).scores.shape == (8, 50)


def test_l2_normalise_removes_the_scale() -> None:
    model = _model(l2_normalise=True).eval()
    features = torch.randn(2, 5, 6)
    torch.testing.assert_close(model(features), model(features * 30))


def test_rate_halves_one_epoch_early() -> None:
    schedule = _model().schedules(TrainingPlan(50, 30, (5, 5)))[0]
    assert schedule.scheduler is not None
    rates = []
    for _ in range(20):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.scheduler.step()
    assert rates[8] == pytest.approx(5e-5)
    assert rates[9] == rates[18] == pytest.approx(2.5e-5)
    assert rates[19] == pytest.approx(1.25e-5)


def test_parameter_count() -> None:
    model = DeepMIL(DeepMILConfig(), Task("t", ("normal", "riot"), ("normal", "riot"), 512))
    assert sum(p.numel() for p in model.parameters()) == 279_105
    assert set(model.official_state({"module.fc1.weight": torch.ones(1)})) == {"fc1.weight"}
