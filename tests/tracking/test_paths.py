"""Where a store lies: any path works and is the only one that is written; who reads makes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.report.sources import joined
from harness.tracking import client
from harness.tracking.client import open_store
from harness.tracking.sqlite import sqlite_file, sqlite_uri
from harness.tracking.tracker import Tracker, TrackingError
from tests.fakes import fake_run

Call = Callable[..., tuple[int, str, str]]
# With what such a name could be mistaken for.
PATHS = (
    "q?x",
    "50%25 runs",
    "50% runs",
    "50%2Fruns",
    "a#b",
    "äöü 実験",
    "x;y&z=1",
    "*[b]{c}",
    'it\'s "so"',
    "a\\b",
    "@:",
)


@pytest.mark.parametrize("name", PATHS)
def test_any_path_holds_its_own_store(name: str, tmp_path: Path) -> None:
    out = tmp_path / "stores" / name / "inner"
    result = fake_run(out)
    tracker = Tracker(None, out)
    assert sqlite_file(tracker.uri) == out / "mlflow.db"
    tracker.record(out / result.id)
    again = Tracker(None, out)
    (run,) = again.runs()
    assert run.result == result
    assert again.artifact(run, "run.json").is_relative_to(out)
    assert [path.name for path in (tmp_path / "stores").iterdir()] == [name]
    assert [path.name for path in (tmp_path / "stores" / name).iterdir()] == ["inner"]
    with closing(sqlite3.connect(out / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (2,), "the run and its parent"
    other = Tracker(None, tmp_path / "elsewhere")
    for word in (str(out), again.uri):
        with joined(other, [word]) as sources:
            assert [each.result.id for each in sources.runs] == [result.id]
            assert sources.artifact(sources.runs[0], "truth.json").is_file()


def test_a_fresh_store_is_made_in_place(tmp_path: Path) -> None:
    out = tmp_path / "q?x" / "50%25 runs"
    client._prepare_sqlite(out / "mlflow.db")
    open_store(sqlite_uri(out / "mlflow.db"), out)
    assert {path.name.partition("-")[0] for path in out.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}
    assert [path.name for path in tmp_path.iterdir()] == ["q?x"]


@pytest.mark.parametrize("name", ["q?x", "50%25 runs"])
def test_the_commands(name: str, tmp_path: Path, harness: Call, demo: object) -> None:
    out = tmp_path / "work" / name
    assert harness("run", "--methods", "random", "--out", str(out))[0] == 0
    code, stdout, _ = harness("list", "runs", "--out", str(out), "--json")
    assert (code, len(json.loads(stdout)["runs"])) == (0, 1)
    assert harness("report", "--out", str(out))[0] == 0
    assert [path.name for path in (tmp_path / "work").iterdir()] == [name]


def test_a_relative_path_with_a_sign_of_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = Tracker("sqlite:///my%20runs/mlflow.db", Path("runs"))
    assert sqlite_file(tracker.uri) == Path("my runs/mlflow.db")
    tracker.prepare()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and list(path.iterdir())] == ["my runs"]


def test_a_file_that_is_no_store_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 999)
    with pytest.raises(TrackingError, match="file is not a database"):
        Tracker(None, tmp_path).runs()


READING = {
    "report": ("report", "--out", "{}"),
    "list runs": ("list", "runs", "--out", "{}"),
    "audit": ("audit", "--out", "{}"),
    "compare": ("compare", "deepmil", "random", "--out", "{}"),
    "eval": ("eval", "some-run", "--dataset", "demo", "--out", "{}"),
    "submit": ("submit", "deepmil", "--out", "{}", "--to", "packed.zip"),
    "dry run": ("run", "--methods", "random", "--dry-run", "--out", "{}"),
    "another store": ("report", "--out", "{}", "--also", "sqlite:///no/such/mlflow.db"),
}


@pytest.mark.parametrize("verb", READING)
def test_who_reads_makes_nothing(
    verb: str, harness: Call, tmp_path: Path, demo: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    code, _, stderr = harness(*(word.format("nowhere") for word in READING[verb]))
    assert code == (0 if verb in ("list runs", "dry run") else 2), stderr
    assert len(stderr.strip().splitlines()) == (0 if code == 0 else 1)
    assert list(place.rglob("*")) == []


def test_a_path_that_cannot_be_written_as_a_uri_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def __init__(self, uri: str) -> None:
            self.database = uri.removeprefix("sqlite:///").partition("?")[0]

    monkeypatch.setattr("sqlalchemy.engine.make_url", Plain)  # as before SQLAlchemy 2.1
    assert sqlite_uri(Path("/a/50%25/b.db")) == "sqlite:////a/50%25/b.db"
    with pytest.raises(UserError, match=r"opens no path with % or \?; choose another"):
        sqlite_uri(Path("/a/q?x/b.db"))
