from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.io.atomic import write_json
from harness.report.leaderboard.build import build_leaderboard
from harness.report.sources import joined
from harness.report.write import write_report
from harness.tracking.fields import escape, unescape
from harness.tracking.format import RUN_ID, metric_key, metric_name
from harness.tracking.tracker import Tracker, TrackingError
from tests.fakes import fake_result, fake_run


@pytest.fixture
def tracker(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "my runs"
    out.mkdir()
    shutil.copy(empty_store, out / "mlflow.db")
    return Tracker(None, out)


def test_reads_back_what_run_json_says(tracker: Tracker) -> None:
    classes = ("Normal", "<b>Fight/x</b>", "Road Accident", ".odd ")
    expected = fake_run(tracker.out, classes=classes, excluded=tuple(f"missing_{i:04d}" for i in range(900)))
    tracker.record(tracker.out / expected.id)
    (run,) = tracker.runs()
    assert run.result == expected
    assert (
        tracker.artifact(run, "predictions.npz").read_bytes()
        == (tracker.out / expected.id / "predictions.npz").read_bytes()
    )
    assert tracker.runs(["other"]) == []
    assert sorted(path.name for path in tracker.out.parent.iterdir()) == ["my runs"]


def test_epochs_and_looks_are_metrics_by_step(tracker: Tracker) -> None:
    result = fake_run(tracker.out, selection="oracle")
    mlflow_id = tracker.record(tracker.out / result.id)
    history = tracker._open().get_metric_history(mlflow_id, "train/mil")
    assert [(point.step, point.value) for point in history] == [(12 * e, 1.5 / e) for e in range(1, 31)]
    assert tracker._open().get_metric_history(mlflow_id, "look/frame_auc")[0].step == 11
    run = tracker._open().get_run(mlflow_id)
    assert run.info.run_name == result.id
    assert run.data.params["config.layers.depth"] == "2"
    assert run.data.tags["provenance.torch"] == "2.13.0"
    assert "map_at_0.1" in run.data.metrics


def test_records_exactly_once_and_in_one_batch(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fake_run(tracker.out)
    mlflow_id = tracker.record(tracker.out / first.id)
    second = fake_run(tracker.out, seed=1)
    client, batches = tracker._open(), list[str]()
    log_batch = client.log_batch
    monkeypatch.setattr(client, "log_batch", lambda run, *rest: (batches.append(run), log_batch(run, *rest)))
    own = tracker.record(tracker.out / second.id)
    (parent,) = {*batches} - {own}  # a call for each metric would take seconds
    assert sorted(batches) == sorted([own, parent])
    assert tracker.record(tracker.out / first.id) == mlflow_id
    assert Tracker(None, tracker.out).sync() == []
    assert len(tracker.runs()) == 2


def test_what_a_crash_left_is_made_anew(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fake_run(tracker.out)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracker._open(), "log_artifacts", crash)
        with pytest.raises(KeyboardInterrupt):
            tracker.record(tracker.out / result.id)
    (run,) = tracker.runs()
    assert run.artifacts == str(tracker.out / result.id), "read where it lies; the store has no whole one"
    assert tracker.sync() == []
    assert [run.result for run in tracker.runs()] == [result]
    experiment = tracker._experiment("toy")
    found = tracker._open().search_runs([experiment], f"tags.`{RUN_ID}` != ''")
    assert [run.info.status for run in found] == ["FINISHED"]


def test_a_rerun_replaces_the_earlier_run(tracker: Tracker) -> None:
    result = fake_run(tracker.out)
    old = tracker.record(tracker.out / result.id)
    (before,) = tracker.runs()
    changed = result.model_copy(update={"metrics": {"frame_auc": 0.5}})
    write_json(tracker.out / result.id / "run.json", changed.model_dump())
    new = tracker.record(tracker.out / result.id)
    assert new != old
    assert [run.result for run in tracker.runs()] == [changed]
    with pytest.raises(UserError, match="no such file"):
        tracker.artifact(before, "run.json")


def test_failures_are_kept_apart_and_end_with_success(tracker: Tracker) -> None:
    failed = fake_result().model_copy(update={"status": "failed", "error": "loss became NaN " * 900, "metrics": {}})
    tracker.record_failure(failed)
    tracker.record_failure(failed.model_copy(update={"error": "out of memory"}))
    assert tracker.runs() == []
    assert [run.result.error for run in tracker.failures()] == ["out of memory"]
    result = fake_run(tracker.out)
    tracker.record(tracker.out / result.id)
    assert tracker.failures() == []
    tracker.record_failure(failed)
    assert (len(tracker.runs()), len(tracker.failures())) == (1, 1)


def test_unfinished_directories_are_not_recorded(tracker: Tracker) -> None:
    result = fake_run(tracker.out)
    write_json(tracker.out / result.id / "run.json", {**result.model_dump(), "status": "failed"})
    with pytest.raises(UserError, match="only finished runs"):
        tracker.record(tracker.out / result.id)
    assert len(tracker.sync()) == 1
    assert tracker.runs() == []


def test_a_moved_run_folder_still_has_its_artifacts(tracker: Tracker) -> None:
    result = fake_run(tracker.out)
    tracker.record(tracker.out / result.id)
    moved = Tracker(None, tracker.out.rename(tracker.out.parent / "moved"))
    (run,) = moved.runs()
    assert moved.artifact(run, "truth.json").is_file()


def test_unreachable_server_is_one_line_and_loses_nothing(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = fake_run(tracker.out)
    server = Tracker("http://me:secret@127.0.0.1:9", tracker.out)
    with pytest.raises(TrackingError) as caught:
        server.record(tracker.out / result.id)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    failed = fake_result(seed=7).model_copy(update={"status": "failed", "error": "no"})
    assert not server.record_failure(failed)
    (problem,) = server.sync()
    assert "could not be" in problem
    assert tracker.sync() == []
    assert [run.result for run in tracker.runs()] == [result]


@pytest.mark.parametrize("name", ["map@0.1", "map_strict@0.5", "frame_auc", "map_avg"])
def test_metric_names_survive(name: str) -> None:
    assert metric_name(metric_key(name)) == name


@pytest.mark.parametrize("text", ["a/b", "../x", " lead", "trail.", "é:3a:", "", "<i>"])
def test_escaping_is_reversible(text: str) -> None:
    assert unescape(escape(text)) == text


def test_the_report_comes_from_the_store_alone(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"), joined(tracker):
        pass
    for seed in range(2):
        result = fake_run(tracker.out, seed=seed)
        tracker.record(tracker.out / result.id)
        shutil.rmtree(tracker.out / result.id)
    with joined(tracker) as sources:
        board = build_leaderboard(
            sources.runs, sources.failures, sources.artifact, {"toy": "Generated."}, tracker.out / "cache"
        )
    assert board.boards[0].rows[0].seeds == (0, 1)
    assert board.boards[0].rows[0].metrics["frame_auc"].low is not None
    write_report(board, tracker.artifact, tmp_path / "report", ["html"])
    (part,) = (tmp_path / "report" / "data").glob("*/3.js")
    assert '"scores":[[' in part.read_text(encoding="utf-8")


def test_opening_a_store_leaves_no_long_imports(tracker: Tracker) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.tracking.tracker import Tracker\n"
        f"tracker = Tracker(None, Path({str(tracker.out.absolute())!r})); tracker.import_mlflow()\n"
        "before = set(sys.modules); tracker.prepare()\n"
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    late = done.stdout.split()
    assert len(late) < 50, late  # without the store's half of MLflow they are some 400
