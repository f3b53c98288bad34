"""Options that several verbs share, and how their text is read. Heavy imports stay inside the functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import UserError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Directory of runs and of the default MLflow store.")]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow server; default: MLFLOW_TRACKING_URI, else SQLite in --out."),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="METHOD.key=value, may be repeated.")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
TextTower = Annotated[
    str | None,
    typer.Option("--text-tower", help="CLIP text weights: directory or hub id; default: a seeded tower."),
]


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    """Return `value`, which must be one of `allowed`; raises UserError."""
    if value not in allowed:
        raise UserError(f"{option} {value!r}: expected {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def device(value: str) -> str:
    """Return the device to compute on; raises UserError if it is unknown or not there."""
    one_of("--device", value, ("cpu", "cuda"))
    if value == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("--device cuda: this torch sees no CUDA device; use --device cpu")
        # Without it cuBLAS may choose other sums from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return value


def overrides(words: list[str]) -> dict[str, dict[str, Any]]:
    """Return method -> config key -> value of `--set` words; raises UserError if one is not METHOD.key=value."""
    import yaml

    from harness.registry import resolve

    found: dict[str, dict[str, Any]] = {}
    for word in words:
        target, equals, text = word.partition("=")
        method, dot, key = target.partition(".")
        if not (equals and dot and method and key):
            raise UserError(f"--set {word!r}: expected METHOD.key=value, for example dsanet.epochs=2")
        names, _ = resolve(method)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--set {word!r}: {text!r} is not a value") from error
        for name in names:
            found.setdefault(name, {})[key] = value
    return found
