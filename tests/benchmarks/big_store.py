"""A store of many runs, made in seconds: `python -m tests.benchmarks.big_store OUT RUNS`.

Run directories as our own code writes them, and the rows that `Tracker.record` would have MLflow write for them, but
for the figures of parents and data sets, in bulk. `tests/tracking/test_scale.py` holds the two against each other.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from harness.records.result import RunResult
from harness.tracking.client import created, open_store
from harness.tracking.description import PARENT_RUN, system_tags
from harness.tracking.families import FAMILY, PARENT, family_of
from harness.tracking.fields import escape
from harness.tracking.format import RUN_ID, params, points, read_run, tags
from harness.tracking.sqlite import ARTIFACTS, sqlite_uri
from harness.tracking.times import Times, times_of
from tests.fakes import fake_run

METHODS, SEEDS, DATASETS = 16, 5, 5


def make(out: Path, runs: int, after: int = 0) -> None:
    """Write `runs` finished runs and their store: 16 methods, 5 seeds, 5 data sets, and as many configs as it takes.

    The first `after` of them, which are there already, are left out; then a family of seeds must not be cut in two.
    """
    client = open_store(sqlite_uri(out / "mlflow.db"), out)
    with mock.patch("harness.io.atomic.sync"):
        results = [fake_run(out, **fields) for fields in itertools.islice(_fields(), after, runs)]
    places = {name: out / ARTIFACTS / escape(name) for name in sorted({result.dataset for result in results})}
    numbers = {name: created(client, name, place.as_uri()) for name, place in places.items()}
    with contextlib.closing(sqlite3.connect(out / "mlflow.db")) as connection, connection:
        parents: dict[str, str] = {}
        for result in results:
            place, number, family = places[result.dataset], numbers[result.dataset], family_of(result)
            if family not in parents:
                parents[family] = _run(connection, family, times_of(result, out / result.id), place, number)
                _labels(connection, parents[family], {FAMILY: family, PARENT: "parent"})
            _insert(connection, out / result.id, place, number, parents[family])
    with contextlib.closing(sqlite3.connect(out / "mlflow.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fields() -> Iterator[dict[str, Any]]:
    for config in itertools.count():
        for dataset, method, seed in itertools.product(range(DATASETS), range(METHODS), range(SEEDS)):
            yield {
                **{"method": f"method-{method:02d}", "dataset": f"set-{dataset}", "seed": seed},
                **{"config": {"lr": 1e-4, "layers": {"depth": 2 + config}}},
            }


def _insert(connection: sqlite3.Connection, directory: Path, place: Path, experiment: str, parent: str) -> None:
    read = read_run(directory)
    result, times = read.result, times_of(read.result, directory)
    run = _run(connection, result.id, times, place, experiment)
    files = place / run / "artifacts"
    files.mkdir(parents=True)
    for file in directory.iterdir():
        os.link(file, files / file.name)
    labels = {RUN_ID: result.id, **tags(result, read.content), **system_tags(result), FAMILY: family_of(result)}
    labels.pop("mlflow.user", None)  # of whoever writes
    _labels(connection, run, {**labels, PARENT_RUN: parent})
    fields = params(result).items()
    _rows(connection, "params", ("key", "value", "run_uuid"), [(*pair, run) for pair in fields])
    columns = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
    found = [(key, value, when, step, 0, run) for key, value, step, when in points(result, directory, times)]
    _rows(connection, "metrics", columns, found)
    _rows(connection, "latest_metrics", columns, list({row[0]: row for row in found}.values()))


def _run(connection: sqlite3.Connection, name: str, times: Times, place: Path, experiment: str) -> str:
    run = uuid.uuid4().hex
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
        "end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
        "VALUES (?, ?, 'UNKNOWN', '', '', 'unknown', 'FINISHED', ?, ?, '', 'active', ?, ?)",
        (run, name, *times, f"{place.as_uri()}/{run}/artifacts", int(experiment)),
    )
    return run


def _labels(connection: sqlite3.Connection, run: str, labels: dict[str, str]) -> None:
    _rows(connection, "tags", ("key", "value", "run_uuid"), [(*pair, run) for pair in labels.items()])


def _rows(connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" for _ in columns)
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def results_of(out: Path) -> list[RunResult]:
    """Return the results of the run directories below `out`."""
    return [read_run(path.parent).result for path in sorted(out.glob("*/run.json"))]


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute(), int(sys.argv[2]))
