"""A run directory as the metrics, params and tags that MLflow keeps, and back. Knows MLflow's limits, not MLflow.

What a run was asked for are params, what came out metrics, all else tags: a field each, which a user can read, show
as a column and search by. Together they are the whole `run.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import UserError
from harness.records.history import History, read_history
from harness.records.result import RunResult
from harness.records.run_directory import RECORD, RunDirectory, open_run
from harness.records.system_metrics import FILE as SYSTEM
from harness.records.system_metrics import read_system_metrics
from harness.tracking.fields import KEY, escape, flat, lines, nested, pieces, unescape, unlined, whole
from harness.tracking.times import Times, epoch_ends

RUN_ID, CONTENT = "harness.run_id", "harness.content"
# The result as JSON in tags of earlier versions.
RESULT = "harness.result"
# What begins the keys of the tags that `restored` reads.
OWN, PROVENANCE, FILES = "harness.", "provenance.", "harness.files"
# Of a run that does not say when it was.
_ESTIMATED = "harness.times"
_LINES = ("undefined", "cautions", "excluded")
# Fields of a result that are not tags, or tags of their own form.
_APART = {"id", "metrics", "class_auc", "cost", "spec", "provenance", "files", "started", "ended", *_LINES}
_TAGS = set(RunResult.model_fields) - _APART


class Point(NamedTuple):
    """A value of a metric; `time` is in milliseconds since 1970, 0 for now."""

    key: str
    value: float
    step: int = 0
    time: int = 0


@dataclass(frozen=True)
class Stored:
    """What a store says of one run. Times are in milliseconds since 1970, `artifacts` is a URI.

    Of metrics that have several steps the last one is here. `params` are empty where nobody asked for them.
    """

    id: str
    experiment: str
    artifacts: str
    started: int
    ended: int
    tags: dict[str, str]
    metrics: dict[str, float]
    params: dict[str, str]


def metric_key(name: str) -> str:
    """Return the name MLflow stores a metric under: `map@0.1` becomes `map_at_0.1`; `metric_name` reverses it."""
    return escape(name.replace("@", "_at_"))


def metric_name(key: str) -> str:
    """Return the metric that `metric_key` stored."""
    return unescape(key).replace("_at_", "@")


def read_run(directory: Path) -> RunDirectory:
    """Return the finished run in `directory`, one that can be recorded.

    Raises:
        UserError: there is none, it did not finish, or it is damaged.
    """
    run = open_run(directory)
    path, result = directory / RECORD, run.result
    if result.status != "ok":
        raise UserError(f"{path}: status is {result.status}; only finished runs are recorded")
    if result.spec is not None and result.spec.variant:
        raise UserError(f"{path}: a variant of a run, computed to see how it rounds; it is no result of its own")
    return run


def points(result: RunResult, directory: Path, times: Times) -> list[Point]:
    """Return everything numeric: final metrics, cost, what `history.json` holds, and what the machine was busy with.

    Final metrics stand at step 0: MLflow draws a bar of a metric that has no other.

    Raises:
        UserError: a file is damaged.
    """
    found = [Point(metric_key(name), value, 0, times.ended) for name, value in result.metrics.items()]
    found += [Point(f"class_auc/{escape(name)}", value, 0, times.ended) for name, value in result.class_auc.items()]
    if result.cost is not None:
        costs = result.cost.model_dump().items()
        found += [Point(f"cost/{name}", float(value), 0, times.ended) for name, value in costs]
    path = directory / "history.json"
    history = read_history(path) if path.is_file() else History()
    ends = epoch_ends(history.epochs, result, times)
    for epoch, end in zip(history.epochs, ends, strict=True):
        values = {"loss": epoch.loss, "epoch_seconds": epoch.seconds, **epoch.terms}
        values |= {f"lr{index}": rate for index, rate in enumerate(epoch.lr)}
        found += [
            Point(f"train/{escape(key)}", value, epoch.step, end) for key, value in values.items() if value is not None
        ]
    criterion = escape(result.selected.criterion if result.selected else "") or "value"
    for look in history.looks:
        after = [end for epoch, end in zip(history.epochs, ends, strict=True) if epoch.step >= look.step]
        found.append(Point(f"look/{criterion}", look.value, look.step, after[0] if after else times.ended))
    if (directory / SYSTEM).is_file():
        samples = read_system_metrics(directory / SYSTEM)
        for name, numbers in samples.values.items():
            of_one = enumerate(zip(numbers, samples.times, strict=True))
            found += [Point(f"system/{escape(name)}", value, index, time) for index, (value, time) in of_one]
    return found


def params(result: RunResult) -> dict[str, str]:
    """Return the spec's fields, those of the config one by one; `restored` reads them."""
    return pieces(flat(result.spec.model_dump(mode="json"))) if result.spec is not None else {}


def tags(result: RunResult, content: str) -> dict[str, str]:
    """Return all of a result that is neither metric nor param, `content` being the hash of its `run.json`."""
    rest = result.model_dump(mode="json", include=_TAGS, exclude_defaults=True, exclude_none=True)
    found = {RUN_ID: result.id, CONTENT: content, f"{OWN}origin": result.origin, **flat(rest, OWN[:-1])}
    found |= {OWN + name: lines(texts) for name in _LINES if (texts := getattr(result, name))}
    if result.files:
        found[FILES] = lines([f"{content}  {name}" for name, content in result.files.items()])
    found |= {PROVENANCE + escape(name): value for name, value in result.provenance.items()}
    if result.spec is not None:
        for name in ("feature_hash", "protocol", "arithmetic"):
            found[OWN + name] = str(getattr(result.spec, name))
        if result.spec.partial:
            found[f"{OWN}partial"] = result.spec.partial
    if not (result.started and result.ended):
        found[_ESTIMATED] = "estimated"
    return pieces({key[:KEY]: value for key, value in found.items()})


def restored(stored: Stored) -> RunResult:
    """Return the result that `points`, `params` and `tags` described.

    Raises:
        ValueError: something is missing or of another version.
    """
    value = _of_fields(stored) if f"{RESULT}.0" not in stored.tags else _of_json(stored.tags)
    value["metrics"] = {metric_name(key): number for key, number in stored.metrics.items() if "/" not in key}
    value["class_auc"] = _below("class_auc/", stored.metrics)
    return RunResult.model_validate(value)


def _of_fields(stored: Stored) -> dict[str, Any]:
    labels, spec = whole(stored.tags), nested(whole(stored.params))
    own = {key.removeprefix(OWN): text for key, text in labels.items() if key.startswith(OWN)}
    value = nested({key: text for key, text in own.items() if key.partition(".")[0] in _TAGS})
    value |= {name: unlined(own[name]) for name in _LINES if name in own}
    value |= {"id": own.get("run_id"), "spec": spec or None}
    files = [line.partition("  ") for line in unlined(labels[FILES])] if FILES in labels else []
    value |= {"provenance": _below(PROVENANCE, labels), "files": {name: content for content, _, name in files}}
    value["cost"] = _below("cost/", stored.metrics) or None
    if _ESTIMATED not in labels:
        value |= {"started": stored.started, "ended": stored.ended}
    return value


def _of_json(labels: Mapping[str, str]) -> dict[str, Any]:
    chunks: list[str] = []
    while (key := f"{RESULT}.{len(chunks)}") in labels:
        chunks.append(labels[key])
    return dict(json.loads("".join(chunks)))


def _below(start: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {unescape(key.removeprefix(start)): value for key, value in fields.items() if key.startswith(start)}


def flattened(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; None is left out."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        name = f"{prefix}.{key}".lstrip(".")
        if isinstance(part, Mapping):
            found |= flattened(part, name)
        elif part is not None:
            found[name] = part
    return found
