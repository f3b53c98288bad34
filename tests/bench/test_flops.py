"""Whichever operator computes a product, all of its multiplications and additions are counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness.bench.roofline import counted
from harness.methods.layers.convolution import TimeConv

ROWS, INNER, COLUMNS, COUNT = 64, 32, 16, 3
A, B, C = torch.randn(ROWS, INNER), torch.randn(INNER, COLUMNS), torch.randn(ROWS, COLUMNS)
MANY_A, MANY_B, MANY_C = (x.repeat(COUNT, 1, 1) for x in (A, B, C))
ONE = 2 * ROWS * INNER * COLUMNS


@pytest.mark.parametrize(
    "product",
    [
        lambda: A @ B,
        lambda: torch.mm(A, B, out=C.clone()),
        lambda: torch.addmm(C, A, B),
        lambda: C.clone().addmm_(A, B),
        lambda: nn.functional.linear(A, B.T, C[0]),
        lambda: torch.einsum("rk,kc->rc", A, B),
    ],
    ids=["mm", "mm out", "addmm", "addmm_", "linear", "einsum"],
)
def test_products_of_matrices(product: Callable[[], Tensor]) -> None:
    assert counted(product)[1] == ONE


@pytest.mark.parametrize(
    "product",
    [
        lambda: MANY_A @ MANY_B,
        lambda: torch.baddbmm(MANY_C, MANY_A, MANY_B),
        lambda: MANY_C.clone().baddbmm_(MANY_A, MANY_B),
        lambda: torch.addbmm(C, MANY_A, MANY_B),
        lambda: C.clone().addbmm_(MANY_A, MANY_B),
    ],
    ids=["bmm", "baddbmm", "baddbmm_", "addbmm", "addbmm_"],
)
def test_products_of_many_matrices(product: Callable[[], Tensor]) -> None:
    assert counted(product)[1] == COUNT * ONE


@pytest.mark.parametrize(
    ("product", "flops"),
    [
        (lambda: A @ B[:, 0], 2 * ROWS * INNER),
        (lambda: torch.addmv(C[:, 0], A, B[:, 0]), 2 * ROWS * INNER),
        (lambda: C[:, 0].clone().addmv_(A, B[:, 0]), 2 * ROWS * INNER),
        (lambda: A[0].dot(B[:, 0]), 2 * INNER),
    ],
    ids=["mv", "addmv", "addmv_", "dot"],
)
def test_products_with_vectors(product: Callable[[], Tensor], flops: int) -> None:
    assert counted(product)[1] == flops


def test_attention_on_a_cpu() -> None:
    query = torch.randn(1, 2, 16, 8, requires_grad=True)

    def attend() -> None:
        nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()

    forward = 2 * (2 * 2 * 16 * 16 * 8)
    assert counted(attend)[1] >= 3 * forward


@pytest.mark.parametrize("build", [nn.MultiheadAttention, nn.TransformerEncoderLayer])
def test_a_layer_that_is_one_operator_without_gradients_counts_as_with_them(build: type[nn.Module]) -> None:
    layer, x = build(COLUMNS, 2, batch_first=True).eval(), torch.randn(COUNT, ROWS, COLUMNS)
    inputs = (x, x, x) if build is nn.MultiheadAttention else (x,)
    with torch.inference_mode():
        found = counted(lambda: layer(*inputs))[1]
    assert found == counted(lambda: layer(*inputs))[1] > 0


def test_our_convolution_over_time_counts_as_that_of_torch() -> None:
    ours, plain = (kind(INNER, COLUMNS, 3) for kind in (TimeConv, nn.Conv1d))
    x = torch.randn(COUNT, ROWS, INNER, requires_grad=True)
    found = counted(lambda: ours(x).sum().backward())[1]
    assert (
        found
        == counted(lambda: plain(x.transpose(1, 2)).sum().backward())[1]
        == 3 * 2 * COUNT * (ROWS - 2) * 3 * INNER * COLUMNS
    )
