"""What to compute on and in: a device that is there, and a precision that it has."""

from __future__ import annotations

import os
from typing import Any

from harness.errors import UserError


def device(value: str) -> str:
    """Return the device to compute on; raises UserError if it is unknown or not there."""
    if value not in ("cpu", "cuda"):
        raise UserError(f"--device {value!r}: expected cpu or cuda")
    if value == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("--device cuda: this torch sees no CUDA device; use --device cpu")
        # Without it cuBLAS may choose other sums from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return value


def precision(value: str, device: str) -> Any:
    """Return the precision to compute in; raises UserError if it is unknown or the device has none such."""
    if value not in ("fp32", "tf32", "bf16"):
        raise UserError(f"--precision {value!r}: expected fp32, tf32 or bf16")
    if value == "tf32" and device != "cuda":
        raise UserError("--precision tf32: only CUDA devices have it; add --device cuda or use fp32")
    return value
