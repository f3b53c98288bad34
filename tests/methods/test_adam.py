"""Adam in blocks, against torch's own, bit by bit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.methods.adam import Adam, AdamW

# Below, at and above a block, and laid out otherwise than in order.
SHAPES = [(3,), (1 << 17,), (300, 1000), (7, 64, 900)]


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    made = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    turned = torch.randn(3, 300, 400).permute(1, 2, 0)
    return [*made, nn.Parameter(turned), nn.Parameter(torch.randn(5))]


def gradients(seed: int) -> list[Tensor | None]:
    torch.manual_seed(seed)
    drawn: list[Tensor | None] = [torch.randn_like(p) * 1e-3 for p in parameters()]
    drawn[3] = torch.randn(900, 64, 7).permute(2, 1, 0)  # not laid out as its parameter
    return [*drawn[:-1], None]


def stepped(optimizer: torch.optim.Optimizer, seed: int) -> None:
    for parameter, gradient in zip(optimizer.param_groups[0]["params"], gradients(seed), strict=True):
        parameter.grad = gradient
    optimizer.step()


@pytest.mark.parametrize(("ours", "theirs"), [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)])
@pytest.mark.parametrize("decay", [0.0, 5e-3])
def test_steps_are_torchs_bit_by_bit_and_either_continues_the_others(ours: Any, theirs: Any, decay: float) -> None:
    one, other = (made(parameters(), lr=1e-2, weight_decay=decay) for made in (ours, theirs))
    for seed in range(3):
        stepped(one, seed)
        stepped(other, seed)
    swapped, back = (made(copy.deepcopy(one.param_groups[0]["params"]), lr=1.0) for made in (theirs, ours))
    swapped.load_state_dict(copy.deepcopy(one.state_dict()))
    back.load_state_dict(copy.deepcopy(other.state_dict()))
    optimizers = (one, other, swapped, back)
    for optimizer in optimizers:
        stepped(optimizer, 3)
    for found in zip(*(each.param_groups[0]["params"] for each in optimizers), strict=True):
        assert all(torch.equal(found[0], tensor) for tensor in found[1:])
    assert not torch.equal(one.param_groups[0]["params"][0], parameters()[0])
    assert torch.equal(one.param_groups[0]["params"][-1], parameters()[-1])


@pytest.mark.parametrize("option", ["amsgrad", "maximize", "fused"])
def test_options_are_torchs_own_step(option: str) -> None:
    one, other = (made(parameters(), lr=1e-2, **{option: True}) for made in (Adam, torch.optim.Adam))
    for optimizer in (one, other):
        stepped(optimizer, 0)
    for found, expected in zip(one.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
        assert torch.equal(found, expected)


def test_a_closure_computes_the_gradients() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = Adam([weight], lr=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2
    torch.testing.assert_close(weight.detach(), torch.full((2,), 0.5))
