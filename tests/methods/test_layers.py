"""Blocks that methods share, against torch's own and against what they stand for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from methods.layers.convolution import TimeConv, TimeNorm, convolved
from methods.layers.dropout import Dropout, dropout
from methods.layers.graphs import by_distance, distance_adjacency


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 1), (3, 4), (5, 2)])
@pytest.mark.parametrize("length", [1, 9, 400], ids=["one snippet", "few rows", "many rows"])
@pytest.mark.parametrize("gradients", [True, False])
def test_a_convolution_over_time_is_torchs(taps: int, dilation: int, length: int, gradients: bool) -> None:
    torch.manual_seed(0)
    ours = TimeConv(6, 4, taps, padding=dilation * (taps // 2), dilation=dilation).double()
    x, weights = torch.randn(3, length, 6).double(), torch.randn(3, length, 4).double()
    wanted = [(ours.weight, ours.bias), ()][not gradients]
    with torch.set_grad_enabled(gradients):
        found, expected = ours(x), nn.Conv1d.forward(ours, x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    if gradients:
        pairs = (torch.autograd.grad((y * weights).sum(), wanted) for y in (found, expected))
        torch.testing.assert_close(*pairs)


def test_a_kernel_of_its_own_for_every_channel() -> None:
    torch.manual_seed(0)
    kernels, bias, x = torch.randn(6, 1, 5), torch.randn(6), torch.randn(2, 9, 6)
    expected = nn.functional.conv1d(x.transpose(1, 2), kernels, bias, padding=2, groups=6).transpose(1, 2)
    torch.testing.assert_close(convolved(x, kernels, bias, 2, groups=6), expected)


@pytest.mark.parametrize("training", [True, False])
def test_a_normalisation_over_time_is_torchs(training: bool) -> None:
    torch.manual_seed(0)
    ours, theirs, x = TimeNorm(6).train(training), nn.BatchNorm1d(6).train(training), torch.randn(3, 9, 6)
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
def test_dropout_zeroes_its_share_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(0)
    x = torch.full((1000, 400), 2.0, requires_grad=True)
    dropped = dropout(x, share, True)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    spread = (share * (1 - share) / x.numel()) ** 0.5
    assert abs(float((dropped == 0).double().mean()) - share) < 5 * spread
    assert dropped.unique().tolist() == pytest.approx([0, 2 / (1 - share)], rel=1e-4)
    assert torch.equal(2 * gradient, dropped)
    for lane in range(4):  # the entries that one random word decides
        assert abs(float((dropped.flatten()[lane::4] == 0).double().mean()) - share) < 10 * spread
    both = (dropped.flatten()[0::4] == 0) & (dropped.flatten()[1::4] == 0)
    assert float(both.double().mean()) == pytest.approx(share**2, abs=10 * spread)


def test_dropout_follows_the_seed_and_ends_with_training() -> None:
    layer, x = Dropout(0.5), torch.ones(5, 7, 3)
    drawn: list[Tensor] = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(dropout(x, 0.0, True), x)
    assert not dropout(x, 1.0, True).any()


@pytest.mark.parametrize("length", [1, 127, 128, 384, 385, 1000])
def test_by_distance_is_the_product_with_the_whole_matrix(length: int) -> None:
    torch.manual_seed(0)
    steps = torch.arange(length, dtype=torch.float64)
    matrix = torch.exp(-(steps[:, None] - steps).abs() / math.e)
    torch.testing.assert_close(distance_adjacency(length), matrix.float(), rtol=1e-5, atol=1e-19)
    with torch.inference_mode():
        by_distance(torch.randn(1, length, 3))
    x = torch.randn(2, length, 3, requires_grad=True)  # a constant kept by inference must serve training
    found = by_distance(x)
    found.sum().backward()
    torch.testing.assert_close(found, (matrix @ x.double()).float(), rtol=1e-5, atol=1e-5)
