"""Made-up runs, and ways to change a submission that was packed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.bank import Bank
from harness.io.atomic import write_json
from harness.io.digests import digest
from harness.metrics.protocol import evaluate
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.run_directory import write_run as write_record
from harness.records.spec import RunSpec
from harness.records.truth import GroundTruth
from harness.registry import method_class
from harness.runs.method_side import spec_of
from harness.submissions.archive import stored

Harness = Callable[..., tuple[int, str, str]]
Files = dict[str, bytes]


COST = b"""
"cost": {"train_seconds": -1, "predict_seconds": 1, "test_snippets_per_second": 1, "test_frames_per_second": 1,
"parameters": 1, "trainable_parameters": 1}"""


def run_of(
    bank: Bank, out: Path, seed: int = 0, classify: bool = True, draw: int | None = None, **changes: Any
) -> Path:
    """Write a finished run of made-up scores on the test set of a bank; `changes` go into the spec.

    `draw` is what scores are drawn from, None: the seed.
    """
    spec = spec_of(
        "random",
        method_class("random").Config(),
        bank,
        None,
        **{"preset": "fast", "seed": seed, "selection": "last", "device": "cpu", "threads": 1},
    ).model_copy(update=changes)
    rng, truth = np.random.default_rng(seed if draw is None else draw), bank.truth()
    items = bank.split("test").items
    offsets = np.cumsum([0, *(item.snippets for item in items)])
    probs = rng.dirichlet(np.ones(len(truth.classes)), offsets[-1]).astype(np.float32) if classify else None
    scores = rng.random(offsets[-1]).astype(np.float32)
    predictions = Predictions(
        tuple(item.video for item in items), offsets, scores, truth.alignment, truth.classes, probs
    )
    return write_run(out, spec, predictions, truth)


def write_run(out: Path, spec: RunSpec, predictions: Predictions, truth: GroundTruth) -> Path:
    """Write a run directory whose metrics fit its scores; nothing of it needs to fit a data set."""
    directory = out / spec.run_id
    directory.mkdir(parents=True)
    predictions.save(directory / "predictions.npz")
    truth.save(directory / "truth.json")
    history = {"epochs": [{"epoch": 1, "step": 3, "loss": 0.5, "terms": {}, "lr": [0.1], "seconds": 1.0}], "looks": []}
    write_json(directory / "history.json", history)
    found = evaluate(predictions, truth)
    result = RunResult.of(
        spec,
        "ok",
        metrics=found.metrics,
        class_auc=found.class_auc,
        videos=found.videos,
        frames=found.frames,
        excluded=list(truth.excluded),
        directory=str(directory),
    )
    write_record(directory, result)
    return directory


def contents(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, files: Files) -> None:
    with path.open("wb") as stream:
        stored(files, stream)


def name_of(files: Files, file: str) -> str:
    return next(name for name in files if name.endswith(file))


def rehash(files: Files) -> None:
    """Make the manifest fit its files again, as somebody who tampers with care does."""
    manifest = json.loads(files["manifest.json"])
    for run, entry in manifest["runs"].items():
        entry["files"] = {file: digest(files[f"runs/{run}/{file}"]) for file in entry["files"]}
    files["manifest.json"] = json.dumps(manifest).encode()


def edit_json(files: Files, file: str, edit: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(files[name_of(files, file)])
    edit(value)
    files[name_of(files, file)] = json.dumps(value).encode()


def edit_spec(files: Files, **changes: Any) -> None:
    """Change settings and everything that follows from them: id, folder, manifest."""
    result = RunResult.model_validate_json(files[name_of(files, "run.json")])
    assert result.spec is not None
    spec = result.spec.model_copy(update=changes)
    shared = {name: value for name, value in changes.items() if name in RunResult.model_fields}
    changed = result.model_copy(update={"spec": spec, "id": spec.run_id, **shared})
    for name in [name for name in files if name.startswith("runs/")]:
        files[name.replace(result.id, spec.run_id)] = files.pop(name)
    files[f"runs/{spec.run_id}/run.json"] = changed.model_dump_json().encode()
    files["manifest.json"] = files["manifest.json"].replace(result.id.encode(), spec.run_id.encode())


def edit_scores(files: Files, edit: Callable[[dict[str, Any]], None]) -> None:
    name = name_of(files, "predictions.npz")
    with np.load(io.BytesIO(files[name])) as arrays:
        value = {key: arrays[key].copy() for key in arrays.files}
    edit(value)
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **value)
    files[name] = stream.getvalue()


def one_score(arrays: dict[str, Any]) -> None:
    arrays["scores"][arrays["scores"].argmax()] = 0


def drop_video(arrays: dict[str, Any]) -> None:
    end = arrays["offsets"][-2]
    arrays |= {"videos": arrays["videos"][:-1], "offsets": arrays["offsets"][:-1]}
    arrays |= {"scores": arrays["scores"][:end], "class_probs": arrays["class_probs"][:end]}


def extra_video(arrays: dict[str, Any]) -> None:
    arrays["videos"] = np.array([*arrays["videos"], "Bonus001"])
    arrays["offsets"] = np.append(arrays["offsets"], arrays["offsets"][-1] + 1)
    arrays["scores"] = np.append(arrays["scores"], np.float32(0))
    arrays["class_probs"] = np.concatenate([arrays["class_probs"], arrays["class_probs"][:1]])


def drop_row(arrays: dict[str, Any]) -> None:
    arrays["offsets"][-1] -= 1
    arrays |= {"scores": arrays["scores"][:-1], "class_probs": arrays["class_probs"][:-1]}


def swap_classes(arrays: dict[str, Any]) -> None:
    arrays["classes"] = arrays["classes"][::-1].copy()


def verdict(harness: Harness, path: Path, *arguments: str) -> tuple[int, list[str]]:
    code, out, err = harness("verify-submission", str(path), *arguments, "--json")
    assert code in (0, 1) or not err
    document = json.loads(out)
    assert (document["verdict"] == "accepted") == (code == 0)
    return code, [reason for run in document["runs"] for reason in run["reasons"]]
