"""Blocks that methods share, against torch's own and against what they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness.methods.layers.convolution import TimeConv, TimeNorm, by_channel, by_time, convolved, side_by_side
from harness.methods.layers.dropout import Dropout, dropout
from harness.methods.layers.graphs import by_distance, by_rows, distance_adjacency
from harness.methods.layers.time import valid_mean, valid_rows


@pytest.mark.parametrize(
    ("taps", "dilation", "edge"), [(1, 1, 0), (3, 1, 1), (3, 4, 4), (5, 2, 4), (4, 1, 0), (2, 3, 5)]
)
@pytest.mark.parametrize("length", [1, 9, 400])
@pytest.mark.parametrize("order", [lambda x: x, by_time, by_channel], ids=["by video", "by time", "by channel"])
def test_a_convolution_over_time_is_torchs(
    taps: int, dilation: int, edge: int, length: int, order: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    ours = TimeConv(6, 4, taps, padding=edge, dilation=dilation).double()
    x = torch.randn(3, max(length, dilation * (taps - 1) + 1 - 2 * edge), 6).double()
    with torch.no_grad():
        torch.testing.assert_close(ours(order(x)), nn.Conv1d.forward(ours, x.transpose(1, 2)).transpose(1, 2))
    wanted = (x.requires_grad_(), ours.weight, ours.bias)
    found, expected = ours(order(x)), nn.Conv1d.forward(ours, x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    torch.testing.assert_close(*(torch.autograd.grad((y * weights).sum(), wanted) for y in (found, expected)))


def test_a_convolution_keeps_the_order_of_memory_and_needs_no_gradient_of_its_input() -> None:
    torch.manual_seed(0)
    conv, x = TimeConv(6, 4, 3, padding=1, bias=False), torch.randn(3, 9, 6)
    for order in (torch.clone, by_time, by_channel):
        found = conv(order(x))
        assert found.stride() == order(found.detach()).stride()
        (gradient,) = torch.autograd.grad(found.square().sum(), conv.weight)
        # As its parameter lies, so that nothing has to be turned in a training step.
        assert gradient.stride() == conv.weight.stride()
    assert conv.weight.permute(2, 0, 1).is_contiguous()


def test_parts_lie_side_by_side_in_the_order_of_the_first() -> None:
    parts = [torch.randn(3, 9, width) for width in (2, 5)]
    for order in (by_time, by_channel):
        joined = side_by_side([order(parts[0]), parts[1]])
        assert torch.equal(joined, torch.cat(parts, dim=2))
        assert joined.stride() == order(joined).stride()


def test_a_kernel_of_its_own_for_every_channel() -> None:
    torch.manual_seed(0)
    kernels, bias, x = torch.randn(6, 1, 5), torch.randn(6), torch.randn(2, 9, 6)
    expected = nn.functional.conv1d(x.transpose(1, 2), kernels, bias, padding=2, groups=6).transpose(1, 2)
    torch.testing.assert_close(convolved(x, kernels, bias, 2, groups=6), expected)


@pytest.mark.parametrize("training", [True, False])
def test_a_normalisation_over_time_is_torchs(training: bool) -> None:
    torch.manual_seed(0)
    ours, theirs, x = TimeNorm(6).train(training), nn.BatchNorm1d(6).train(training), torch.randn(3, 9, 6)
    for order in (torch.clone, by_time, by_channel):
        torch.testing.assert_close(ours(order(x)), theirs(x.transpose(1, 2)).transpose(1, 2))
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


@pytest.mark.parametrize("entries", [1, 80, 1000], ids=["row by row", "in blocks", "at once"])
def test_by_rows_puts_blocks_together_with_their_gradients(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    monkeypatch.setattr("harness.methods.layers.graphs._ENTRIES", entries)
    torch.manual_seed(0)
    graph, x = torch.randn(2, 10, 10, requires_grad=True), torch.randn(2, 10, 3, requires_grad=True)
    found, expected = by_rows(lambda start, stop: graph[:, start:stop] @ x, 2, 10), graph @ x
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    torch.testing.assert_close(*(torch.autograd.grad((y * weights).sum(), (graph, x)) for y in (found, expected)))


def test_valid_snippets_are_the_same_from_lengths_known_on_the_cpu_and_from_others() -> None:
    values, lengths = torch.randn(3, 5), torch.tensor([5, 1, 3])
    rows = valid_rows(lengths, 5, values.device)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5, 10, 11, 12]
    expected = values.flatten()[rows].mean()
    torch.testing.assert_close(valid_mean(values, lengths, lengths), expected, rtol=0, atol=0)
    torch.testing.assert_close(valid_mean(values, lengths, None), expected)
