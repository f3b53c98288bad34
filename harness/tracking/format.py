"""A run directory as the metrics, params and tags that MLflow keeps, and back. Knows MLflow's limits, not MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.records.history import History, read_history
from harness.records.result import RunResult
from harness.records.run_directory import RECORD, RunDirectory, open_run

RUN_ID, CONTENT, RESULT = "harness.run_id", "harness.content", "harness.result"
_VALUE, _KEY, _CHUNK = 500, 250, 4000

Point = tuple[str, float, int]


@dataclass(frozen=True)
class Stored:
    """What a store says of one run. `started` is in milliseconds since 1970, `artifacts` a URI.

    Of metrics that have several steps the last one is here.
    """

    id: str
    artifacts: str
    started: int
    tags: dict[str, str]
    metrics: dict[str, float]


def metric_key(name: str) -> str:
    """Return the name MLflow stores a metric under: `map@0.1` becomes `map_at_0.1`; `metric_name` reverses it."""
    return escape(name.replace("@", "_at_"))


def metric_name(key: str) -> str:
    """Return the metric that `metric_key` stored."""
    return unescape(key).replace("_at_", "@")


def escape(text: str) -> str:
    """Return `text` with every character that MLflow refuses in a key written as `:hex:`; `unescape` reverses it."""
    return re.sub(r"[^A-Za-z0-9_. -]|^[. ]|[. ]$", lambda match: f":{ord(match[0]):x}:", text)


def unescape(key: str) -> str:
    """Return the text that `escape` wrote."""
    return re.sub(r":([0-9a-f]+):", lambda match: chr(int(match[1], 16)), key)


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


def points(result: RunResult, directory: Path) -> list[Point]:
    """Return (key, value, step) of everything numeric: final metrics, cost, and what `history.json` holds.

    Raises:
        UserError: `history.json` is damaged.
    """
    found = [(metric_key(name), value, 0) for name, value in result.metrics.items()]
    found += [(f"class_auc/{escape(name)}", value, 0) for name, value in result.class_auc.items()]
    if result.cost is not None:
        found += [(f"cost/{name}", float(value), 0) for name, value in result.cost.model_dump().items()]
    path = directory / "history.json"
    history = read_history(path) if path.is_file() else History()
    for epoch in history.epochs:
        values = {"loss": epoch.loss, "epoch_seconds": epoch.seconds, **epoch.terms}
        values |= {f"lr{index}": rate for index, rate in enumerate(epoch.lr)}
        found += [(f"train/{escape(key)}", value, epoch.step) for key, value in values.items() if value is not None]
    criterion = escape(result.selected.criterion if result.selected else "") or "value"
    found += [(f"look/{criterion}", look.value, look.step) for look in history.looks]
    return found


def params(result: RunResult) -> dict[str, str]:
    """Return the spec's fields and the flattened config, keys and values cut to MLflow's limits."""
    if result.spec is None:
        return {}
    return {escape(key)[:_KEY]: value[:_VALUE] for key, value in _flat("", result.spec.model_dump()).items()}


def tags(result: RunResult, content: str) -> dict[str, str]:
    """Return the tags: readable ones for people, and the result without its metrics for `restored`."""
    found = {
        RUN_ID: result.id,
        CONTENT: content,
        "harness.status": result.status,
        "harness.method": result.method,
        "harness.selection": result.selection,
        "harness.origin": result.origin,
        "harness.seed": str(result.seed),
        **{f"provenance.{escape(key)}": value for key, value in result.provenance.items()},
    }
    if result.error:
        found["harness.error"] = result.error
    if result.spec is not None:
        for name in ("features", "feature_hash", "protocol", "text_tower", "code", "device", "arithmetic"):
            found[f"harness.{name}"] = str(getattr(result.spec, name))
        if result.spec.partial:
            found["harness.partial"] = result.spec.partial
    found = {key[:_KEY]: value[:_CHUNK] for key, value in found.items()}
    # Metrics are read back from MLflow's own metrics; the rest is longer than one tag may be.
    rest = result.model_dump_json(exclude={"metrics", "class_auc"})
    return found | {f"{RESULT}.{i // _CHUNK}": rest[i : i + _CHUNK] for i in range(0, len(rest), _CHUNK)}


def restored(metrics: Mapping[str, float], tags: Mapping[str, str]) -> RunResult:
    """Return the result that `points` and `tags` described.

    Raises:
        ValueError: the tags are incomplete or of another version.
    """
    chunks: list[str] = []
    while (key := f"{RESULT}.{len(chunks)}") in tags:
        chunks.append(tags[key])
    value: dict[str, Any] = json.loads("".join(chunks))
    value["metrics"] = {metric_name(key): number for key, number in metrics.items() if "/" not in key}
    value["class_auc"] = {
        unescape(key.removeprefix("class_auc/")): number
        for key, number in metrics.items()
        if key.startswith("class_auc/")
    }
    return RunResult.model_validate(value)


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {k: v for key, part in value.items() for k, v in _flat(f"{prefix}.{key}".lstrip("."), part).items()}
    return {prefix: value if isinstance(value, str) else json.dumps(value, default=str)}


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
