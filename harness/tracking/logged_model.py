"""A run's weights as a model that MLflow loads: `mlflow.pyfunc.load_model("runs:/ID/model")`.

Its files are written as MLflow's own `log_model` would write them for a model with a loader module; that would first
load the model to guess what it needs, which takes seconds. The loader is in the installed harness
(`harness.api.logged_model`): no file of the model is code or a pickle.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from harness.records.result import RunResult
from harness.records.run_directory import CARD, WEIGHTS
from harness.tracking.tensors import schema

# The name of the model of a run.
MODEL = "model"
_NEEDED, _FILES = "requirements.txt", "artifacts"
_LOADER = "harness.api.logged_model"
_EXAMPLE, _SERVED = "input_example.json", "serving_input_example.json"
# Snippets of the example.
_SNIPPETS = 2


def has_model(directory: Path) -> bool:
    """Whether the run in a directory kept weights."""
    return (directory / WEIGHTS).is_file()


def write_model(place: Path, result: RunResult, directory: Path, run: str, model: str) -> None:
    """Write the files of a logged model to the directory `place`, by the run in `directory`.

    The weights are a hard link to those of the run where the file system has such.

    Args:
        place: an empty directory.
        result: what the run says of itself.
        directory: where the run lies.
        run: MLflow's id of the run.
        model: MLflow's id of the model.
    """
    import yaml

    version, files = metadata.version("mlflow"), place / _FILES
    files.mkdir()
    _link(directory / WEIGHTS, files / WEIGHTS)
    if (directory / CARD).is_file():
        shutil.copyfile(directory / CARD, files / CARD)
    needed = ["harness-wsvad", f"mlflow=={version}"]
    needed += [f"{name}=={found}" for name in ("torch", "numpy", "safetensors") if (found := _version(result, name))]
    (place / _NEEDED).write_text("\n".join(needed) + "\n", encoding="utf-8")
    python = {"python": result.provenance.get("python", ""), "dependencies": ["-r " + _NEEDED]}
    (place / "python_env.yaml").write_text(yaml.safe_dump(python), encoding="utf-8")
    example = _example(result)
    if example is not None:
        (place / _EXAMPLE).write_text(json.dumps(example), encoding="utf-8")
        (place / _SERVED).write_text(json.dumps({"inputs": example}), encoding="utf-8")
    document = _described(result, run, model, version, example is not None)
    document["model_size_bytes"] = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    (place / "MLmodel").write_text(yaml.safe_dump(document, default_flow_style=False), encoding="utf-8")


def _described(result: RunResult, run: str, model: str, version: str, example: bool) -> dict[str, Any]:
    """What `MLmodel` says."""
    flavor = {
        "loader_module": _LOADER,
        "data": _FILES,
        "python_version": result.provenance.get("python", ""),
        "env": {"virtualenv": "python_env.yaml"},
        "streamable": False,
        "code": None,
        "config": {"dataset": result.dataset, "features": result.features, "text_tower": None, "device": "cpu"},
    }
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    found: dict[str, Any] = {
        "artifact_path": MODEL,
        "run_id": run,
        "model_id": model,
        "model_uuid": model,
        "utc_time_created": str(now),
        "mlflow_version": version,
        "flavors": {"python_function": flavor},
        "metadata": {"harness_run": result.id},
    }
    if (shape := _shape(result)) is not None:
        found["signature"] = {"inputs": schema(shape), "outputs": schema((-1,)), "params": None}
    if example:
        info = {"artifact_path": _EXAMPLE, "serving_input_path": _SERVED, "type": "ndarray"}
        found["saved_input_example_info"] = info
    return found


def _shape(result: RunResult) -> tuple[int, ...] | None:
    """The shape of a video's features: `[T, D]`, with several crops `[C, T, D]`."""
    if result.data is None:
        return None
    return (-1, result.data.dim) if result.data.crops == 1 else (-1, -1, result.data.dim)


def _example(result: RunResult) -> list[Any] | None:
    """Made-up features of the right shape: what is read of a data set may not be given away."""
    if (shape := _shape(result)) is None:
        return None
    sizes = [_SNIPPETS, shape[-1]] if len(shape) == 2 else [1, _SNIPPETS, shape[-1]]
    return list(np.random.default_rng(0).normal(size=sizes).round(2).tolist())


def _version(result: RunResult, package: str) -> str:
    found = result.provenance.get(package, "")
    return "" if found == "missing" else found.partition("+")[0]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
