"""MLflow's words for the shape of an array."""

from __future__ import annotations

import json


def schema(shape: tuple[int, ...], name: str = "") -> str:
    """Return the schema of one float32 array; -1 stands for an axis of any length."""
    named = {"name": name} if name else {}
    return json.dumps([{**named, "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": list(shape)}}])
