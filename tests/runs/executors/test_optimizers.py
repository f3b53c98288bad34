"""A worker that trains imports no compiler, which would take as long as torch itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

CODE = """
import sys, torch
from harness.runs.computation import settle
from harness.runs.executors.optimizers import without_compiler
from torch.optim import Adam

settle(1)
without_compiler()
layer = torch.nn.Linear(4, 1)
optimizer = Adam(layer.parameters())
for _ in range(2):
    optimizer.zero_grad(set_to_none=True)
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    torch.optim.lr_scheduler.LambdaLR(optimizer, float)
assert torch.get_deterministic_debug_mode() == 1
assert "torch._dynamo" not in sys.modules
import torch._inductor.config
assert getattr(torch._inductor.config, "deterministic", True), "one that a method imports itself is told"
"""


@pytest.mark.skipif(not hasattr(torch.optim.Optimizer.zero_grad, "__wrapped__"), reason="this torch hides nothing")
def test_training_imports_no_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", CODE], check=False).returncode == 0
