"""What a user of MLflow sees of a run: real times, data sets, source, description, curves; and stores of before."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from harness.io.atomic import write_json
from harness.records.result import RunResult
from harness.tracking.client import log
from harness.tracking.fields import escape
from harness.tracking.format import CONTENT, RESULT, RUN_ID, Point, metric_key
from harness.tracking.tracker import Tracker
from tests.fakes import fake_run

BEGAN, ENDED = 1_700_000_000_000, 1_700_000_120_500


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(None, tmp_path)


def _record(tracker: Tracker, changes: dict[str, Any] | None = None, **fields: Any) -> Any:
    result = fake_run(tracker.out, **fields)
    write_json(tracker.out / result.id / "run.json", result.model_copy(update=changes or {}).model_dump())
    return tracker._open().get_run(tracker.record(tracker.out / result.id))


def test_a_run_has_the_times_that_it_took(tracker: Tracker) -> None:
    run = _record(tracker, {"started": BEGAN, "ended": ENDED})
    assert (run.info.start_time, run.info.end_time) == (BEGAN, ENDED)
    (tracked,) = tracker.runs()
    assert (tracked.started, tracked.result.started, tracked.result.ended) == (BEGAN, BEGAN, ENDED)
    history = tracker._open().get_metric_history(run.info.run_id, "train/loss")
    # 30 epochs of 3.2 s before the half second of the test; those before the run began are of an earlier attempt.
    assert [point.timestamp for point in history[-3:]] == [ENDED - 500 - 6400, ENDED - 500 - 3200, ENDED - 500]
    assert all(BEGAN <= point.timestamp <= ENDED for point in history)
    (final,) = tracker._open().get_metric_history(run.info.run_id, "frame_auc")
    assert (final.timestamp, final.step) == (ENDED, 0)


@pytest.mark.parametrize("log_text", ["2024-05-01 10:00:00 start x\n2024-05-01 10:02:00 finished\n", "no times\n"])
def test_runs_of_before_have_the_times_of_their_files(log_text: str, tracker: Tracker) -> None:
    result = fake_run(tracker.out)
    directory = tracker.out / result.id
    write_json(directory / "run.json", result.model_copy(update={"started": 0, "ended": 0}).model_dump())
    (directory / "log.txt").write_text(log_text)
    os.utime(directory / "run.json", (ENDED / 1000, ENDED / 1000))
    (waiting,) = tracker.runs()
    run = tracker._open().get_run(tracker.record(directory))
    logged = int(1000 * time.mktime(time.strptime("2024-05-01 10:00:00", "%Y-%m-%d %H:%M:%S")))
    expected = (logged, logged + 120_000) if "start" in log_text else (ENDED, ENDED)
    assert (run.info.start_time, run.info.end_time) == expected
    (tracked,) = tracker.runs()
    assert waiting.started == tracked.started == expected[0]
    assert (tracked.result.started, tracked.result.ended) == (0, 0), "it does not say so itself"


def test_data_sets_are_inputs(tracker: Tracker) -> None:
    run = _record(tracker)
    inputs = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
    assert {context: (data.name, data.digest) for context, data in inputs.items()} == {
        "training": ("toy/train", "f" * 36),
        "testing": ("toy/test", "f" * 36),
    }
    profile = json.loads(inputs["training"].profile)
    assert (profile["videos"], profile["snippets"], profile["dim"]) == (24, 900, 16)
    assert profile["feature_hash"] == "f" * 64
    import mlflow.data

    source = mlflow.data.get_source(inputs["testing"])
    assert source.url == "https://example.org/toy"


def test_what_a_person_reads(tracker: Tracker) -> None:
    tags = _record(tracker).data.tags
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("harness run", "LOCAL")
    assert tags["mlflow.user"]
    assert tags["mlflow.source.git.commit"] == "0" * 40
    assert "frame AUC" in tags["mlflow.note.content"]
    assert len(tags["mlflow.note.content"].split("\n\n")) > 2
    assert not [key for key, value in tags.items() if value.startswith(("{", "["))], "no raw JSON"


def test_samples_of_the_machine_are_metrics(tracker: Tracker) -> None:
    result = fake_run(tracker.out)
    values = {"cpu_utilization_percentage": [10.0, 90.0]}
    write_json(tracker.out / result.id / "system_metrics.json", {"times": [BEGAN, BEGAN + 1000], "values": values})
    mlflow_id = tracker.record(tracker.out / result.id)
    history = tracker._open().get_metric_history(mlflow_id, "system/cpu_utilization_percentage")
    assert [(p.step, p.timestamp, p.value) for p in history] == [(0, BEGAN, 10.0), (1, BEGAN + 1000, 90.0)]
    assert [run.result for run in tracker.runs()] == [result]


def _as_before(tracker: Tracker, result: RunResult) -> None:
    """Record a run as earlier versions did: the result without metrics as JSON in tags."""
    client = tracker._open()
    run = client.create_run(tracker._experiment(result.dataset), run_name=result.id, tags={RUN_ID: result.id})
    text = result.model_dump_json(exclude={"metrics", "class_auc", "started", "ended", "data"})
    labels = {f"{RESULT}.{i // 4000}": text[i : i + 4000] for i in range(0, len(text), 4000)}
    numbers = [Point(metric_key(name), value) for name, value in result.metrics.items()]
    numbers += [Point(f"class_auc/{escape(name)}", value) for name, value in result.class_auc.items()]
    log(client, run.info.run_id, numbers, {"method": result.method}, {CONTENT: "c", "harness.seed": "0", **labels})
    client.set_terminated(run.info.run_id)


def test_stores_of_before_are_read(tracker: Tracker) -> None:
    excluded = tuple(f"missing_{i:04d}" for i in range(900))
    old = fake_run(tracker.out / "elsewhere", excluded=excluded)
    _as_before(tracker, old)
    (run,) = tracker.runs()
    assert run.result == old.model_copy(update={"started": 0, "ended": 0, "data": None})
    new = fake_run(tracker.out, seed=1)
    assert tracker.sync() == []
    assert {run.result.id for run in tracker.runs()} == {old.id, new.id}


def test_the_address_is_what_a_shell_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Tracker(None, Path("runs")).address == "mlflow ui --backend-store-uri sqlite:///runs/mlflow.db"
    assert Tracker(None, Path("my runs")).address.endswith("'sqlite:///my runs/mlflow.db'")
    assert Tracker("http://me:secret@host:5000", Path()).address == "http://***@host:5000"
    assert "secret" not in Tracker("postgresql://me:secret@host/db", Path()).address
