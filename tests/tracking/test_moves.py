"""Stores that are moved, copied or read-only, and results that no store has yet."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.io.atomic import write_json
from harness.tracking.client import pages
from harness.tracking.tracker import Tracker
from tests.fakes import fake_run

Call = Callable[..., tuple[int, str, str]]
READERS = ("list runs", "report --formats json", "audit", "compare alpha beta")


def _runs(out: Path, methods: str = "alpha beta", seeds: int = 2) -> None:
    for method in methods.split():
        for seed in range(seeds):
            fake_run(out, method=method, seed=seed)


def _files(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and path.suffix != ".db-shm"
    }


def _uris(out: Path) -> list[str]:
    client = Tracker(None, out)._open()
    experiments = [e.experiment_id for e in client.search_experiments()]
    return [run.info.artifact_uri for run in pages(client, experiments, "")]


def _without_directories(out: Path) -> None:
    """Leave what MLflow has and nothing else."""
    for path in out.glob("*/run.json"):
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("how", ["mv", "cp -r"])
def test_a_store_that_moved_reads_and_writes_where_it_is(how: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old runs", tmp_path / "elsewhere" / "new?runs"
    _runs(old, "alpha")
    assert Tracker(None, old).sync() == []
    new.parent.mkdir()
    subprocess.run([*how.split(), str(old), str(new)], check=True)
    before = _files(old)
    for run in Tracker(None, new).runs():
        assert Tracker(None, new).artifact(run, "truth.json").is_relative_to(new)
    again = fake_run(new, method="alpha", seed=1)
    write_json(new / again.id / "run.json", {**again.model_dump(), "cautions": ["computed again"]})
    _runs(new, "beta")
    moved = Tracker(None, new)
    assert moved.sync() == []
    assert _files(old) == before
    assert {Path(uri.removeprefix("file://")).parts[1:4] for uri in _uris(new)} == {new.parts[1:4]}
    _without_directories(new)
    runs = moved.runs()
    assert sorted((run.result.method, run.result.seed) for run in runs) == [
        *(("alpha", 0), ("alpha", 1), ("beta", 0), ("beta", 1))
    ]
    assert [run.result.cautions for run in runs if run.result.id == again.id] == [["computed again"]]
    assert all(moved.artifact(run, "predictions.npz").is_relative_to(new) for run in runs)
    assert len(list(new.glob("mlartifacts/*/*"))) == 4, "the run that was replaced took its own files along"


def test_artifacts_apart_from_their_store_stay_where_they_are(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    _runs(tmp_path / "one", "alpha")
    assert Tracker(uri, tmp_path / "one").sync() == []
    (run, _) = Tracker(None, tmp_path / "store").runs()
    assert Tracker(None, tmp_path / "store").artifact(run, "truth.json").is_relative_to(tmp_path / "one")
    _runs(tmp_path / "store", "beta")
    here = Tracker(None, tmp_path / "store")
    assert here.sync() == []
    places = sorted((run.result.method, here.artifact(run, "truth.json").parts[-6]) for run in here.runs())
    assert places == [("alpha", "one")] * 2 + [("beta", "store")] * 2
    (tmp_path / "one").rename(tmp_path / "two")
    moved = Tracker(uri, tmp_path / "two")
    _runs(tmp_path / "two", "gamma", 1)
    assert moved.sync() == []
    assert not (tmp_path / "one").exists()
    assert all(moved.artifact(run, "truth.json").is_file() for run in moved.runs())


@pytest.mark.parametrize("waits", ["all", "one"])
def test_results_on_disk_are_seen_by_every_reader(waits: str, tmp_path: Path, harness: Call) -> None:
    _runs(tmp_path)
    if waits == "one":
        (tmp_path / next(tmp_path.glob("beta*")).name).rename(tmp_path / ".later")
        assert Tracker(None, tmp_path).sync() == []
        (tmp_path / ".later").rename(tmp_path / "beta-last")
    before = _files(tmp_path)
    code, stdout, _ = harness("list", "runs", "--out", str(tmp_path), "--json")
    assert (code, len(json.loads(stdout)["runs"])) == (0, 4)
    code, stdout, stderr = harness("audit", "--out", str(tmp_path), "--json")
    assert code == 0, stderr
    assert [row["seeds"] for row in json.loads(stdout)["boards"][0]["rows"]] == [[0, 1]] * 2
    assert _files(tmp_path) == before, "who reads writes nothing"
    code, stdout, stderr = harness("report", "--out", str(tmp_path), "--json", "--formats", "json")
    assert code == 0, stderr
    assert [row["seeds"] for row in json.loads(stdout)["leaderboard"][0]["rows"]] == [[0, 1]] * 2
    _without_directories(tmp_path)
    assert len(Tracker(None, tmp_path).runs()) == 4, "the report sent them first"


def test_a_waiting_rerun_counts_and_its_failure_is_seen(tmp_path: Path) -> None:
    result = fake_run(tmp_path)
    tracker = Tracker(None, tmp_path)
    tracker.record(tmp_path / result.id)
    write_json(tmp_path / result.id / "run.json", {**result.model_dump(), "cautions": ["again"]})
    (run,) = tracker.runs()
    assert run.result.cautions == ["again"]
    assert tracker.artifact(run, "run.json") == tmp_path / result.id / "run.json"
    failed = result.model_copy(update={"id": "other", "status": "failed", "error": "no"})
    write_json(tmp_path / ".unsent" / "other.json", failed.model_dump())
    assert [each.result.error for each in tracker.failures()] == ["no"]
    assert tracker.runs(["other"]) == tracker.failures(["other"]) == []


@pytest.mark.parametrize("damage", ["{}", "[1, 2", "\xff"])
def test_a_finished_run_that_cannot_be_read_is_missing_aloud(damage: str, tmp_path: Path, harness: Call) -> None:
    _runs(tmp_path)
    path = next(tmp_path.glob("beta*")) / "run.json"
    path.write_text(damage, encoding="latin-1")
    code, _, stderr = harness("report", "--out", str(tmp_path), "--formats", "json")
    assert code == 1
    assert stderr.count("\n") == 1
    assert stderr.startswith(f"missing: {path}: ")
    assert stderr.rstrip().endswith("or copy it again from where it is whole")
    assert harness("list", "runs", "--out", str(tmp_path))[0] == 0


@pytest.mark.parametrize("words", READERS)
def test_reading_leaves_no_trace(words: str, tmp_path: Path, harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, _ = harness(*words.split(), "--out", "nowhere/x")
    assert code == (0 if words == "list runs" else 2)
    assert list(tmp_path.iterdir()) == []
    out = tmp_path / "runs"
    _runs(out)
    assert Tracker(None, out).sync() == []
    with contextlib.closing(sqlite3.connect(out / "mlflow.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = {path for path in out.rglob("*") if "report" not in path.parts}
    assert harness(*words.split(), "--out", str(out))[0] == 0
    after = {path for path in out.rglob("*") if "report" not in path.parts}
    assert {path.name for path in after - before} == set()


_EACH = """
import contextlib, io, json, sys
from harness.cli.app import main
where, commands = sys.argv[1:]
found = {}
for words in json.loads(commands):
    sys.argv = ["harness", *words.split(), "--out", where]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    found[words] = code, out.getvalue(), err.getvalue()
print(json.dumps(found))
"""


@pytest.mark.parametrize("state", ["settled", "waiting", "a killed writer's"])
def test_a_read_only_directory_is_read(state: str, tmp_path: Path) -> None:
    """A real read-only mount: the rights of files mean nothing to root."""
    own = ["unshare", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount (unshare --mount)")
    out = tmp_path / "runs"
    _runs(out)
    if state != "waiting":
        assert Tracker(None, out).sync() == []
    if state == "a killed writer's":
        code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA wal_autocheckpoint=0');"
        code += "c.execute('UPDATE tags SET value = value'); c.commit(); os._exit(9)"
        subprocess.run([sys.executable, "-c", code, str(out / "mlflow.db")], check=False)
        assert (out / "mlflow.db-wal").stat().st_size
    before = _files(out)
    words = [*READERS, f"report --publish {tmp_path / 'site'}"]
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3" "$1" "$4"'
    done = subprocess.run(
        [*own, mount, "sh", str(out), sys.executable, _EACH, json.dumps(words)],
        capture_output=True,
        text=True,
        check=True,
    )
    for command, (code, stdout, stderr) in json.loads(done.stdout.splitlines()[-1]).items():
        assert code == 0, (command, stderr)
        assert "alpha" in stdout, command
    assert _files(out) == before
    assert (tmp_path / "site" / "index.html").is_file()
