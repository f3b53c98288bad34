"""What is read of an SQLite file without MLflow is what MLflow's own interface says."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.tracking import sqlite
from harness.tracking.client import searched
from harness.tracking.format import CONTENT, OWN, PROVENANCE, RUN_ID, Point, Stored
from harness.tracking.rounding_spread import EXPERIMENT, TAG
from harness.tracking.tracker import Tracker
from tests.fakes import fake_result, fake_run


def _plain(runs: list[Stored], experiment: str = "") -> list[Stored]:
    kept = [
        dataclasses.replace(
            run, metrics={k: v for k, v in run.metrics.items() if "/" not in k or k.startswith(("class_auc/", "cost/"))}
        )
        for run in runs
    ]
    return sorted(kept, key=lambda run: run.id)


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
@pytest.mark.parametrize("experiments", [None, ("toy",), ("toy", "other"), ("none",), (EXPERIMENT,)])
def test_as_mlflow_searches(status: str, experiments: tuple[str, ...] | None, tmp_path: Path) -> None:
    tracker = Tracker(None, tmp_path)
    for dataset in ("toy", "other"):
        for seed in range(3):
            fake_run(tmp_path, dataset=dataset, seed=seed)
    assert tracker.sync() == []
    failed = fake_result(seed=9).model_copy(update={"status": "failed", "error": "lost", "metrics": {}})
    tracker.record_failure(failed)
    tracker.note(EXPERIMENT, "a", {TAG: "x"}, [Point("frame_auc", math.nan), Point("frame_auc", math.inf, 1)])
    client = tracker._open()
    client.create_run("0", tags={RUN_ID: "unfinished"})
    (gone, *_) = tracker.runs(["other"])
    client.delete_run(gone.mlflow_id)
    for tags, whole in (((RUN_ID, OWN, PROVENANCE), True), ((RUN_ID, CONTENT), False), ((TAG,), True)):
        ours = sqlite.stored(tmp_path / "mlflow.db", status, tags, experiments, whole)
        theirs = searched(client, status, tags, experiments, whole)
        assert repr(_plain(ours)) == repr(_plain(theirs))
    assert len(sqlite.stored(tmp_path / "mlflow.db", "FINISHED", (RUN_ID,), None)) == 5


def test_reading_while_somebody_writes(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("CREATE TABLE t (x)")
        writer.execute("PRAGMA journal_mode=WAL")
        for value in range(3):
            writer.execute("INSERT INTO t VALUES (?)", (value,))
            writer.commit()
            look = sqlite.read(path, lambda c: c.execute("SELECT count(*) FROM t").fetchone())
            assert look == (value + 1,), "what is committed is seen, though it is not in the file itself yet"


def test_a_writer_that_comes_in_between(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (0)")
    looks: list[int] = []

    def look(connection: sqlite3.Connection) -> int:
        found = connection.execute("SELECT x FROM t").fetchone()[0]
        if not looks:
            with closing(sqlite3.connect(path)) as writer, writer:
                writer.execute("UPDATE t SET x = 1")
        looks.append(found)
        return int(found)

    assert sqlite.read(path, look) == 1
    assert looks == [0, 1]
