"""Cases on another device: tensors are made there, and afterwards where they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from harness.parity.cases import check_case, read_case
from harness.parity.placing import computing_on
from tests.parity.test_cases import HERE


def test_what_is_made_lies_on_the_device_and_afterwards_on_the_cpu() -> None:
    with computing_on("meta"):
        assert torch.from_numpy(np.zeros(2)).device.type == "meta"
        assert nn.Linear(2, 3).weight.device.type == torch.tensor([1.0]).device.type == "meta"
        assert torch.zeros(2, device="cpu").device.type == "cpu"
        drawn = torch.randn(3, generator=torch.Generator().manual_seed(0))
        assert drawn.numpy().shape == (3,)
    assert torch.from_numpy(np.zeros(2)).device.type == torch.zeros(2).device.type == "cpu"
    assert nn.Linear(2, 3).weight.device.type == "cpu"


def test_a_case_is_computed_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all the replacements, to the CPU itself: the numbers are those of the ordinary way."""
    case = read_case(HERE / "deepmil-pool")
    expected = check_case(case)
    monkeypatch.setattr("harness.parity.cases.computing_on", lambda device: computing_on("cpu:0"))
    found = check_case(case, "cuda")
    assert [(error.output, error.error) for error in found.errors] == [(e.output, e.error) for e in expected.errors]
