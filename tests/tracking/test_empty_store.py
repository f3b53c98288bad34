"""A new store is a copy of an empty one, and no different from what MLflow makes itself."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from harness.paths import cache_dir
from harness.tracking import client, empty_store
from harness.tracking.empty_store import copy_of_empty
from harness.tracking.sqlite import sqlite_uri


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(empty_store, "cache_dir", cache_dir)  # its own, where other tests share one


def _content(path: Path) -> list[list[str]]:
    """All tables and rows as the lines of SQL, without times, and in an order: MLflow's constraints come in any."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE experiments SET creation_time = 0, last_update_time = 0")
        return sorted(sorted(part.strip(" ,") for part in line.splitlines()) for line in connection.iterdump())


def test_a_copy_is_what_mlflow_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client.open_store(sqlite_uri(tmp_path / "one" / "mlflow.db"), tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(client, "_make_sqlite", lambda path: pytest.fail("made anew"))
        client.open_store(sqlite_uri(tmp_path / "two" / "mlflow.db"), tmp_path / "two")
    client._make_sqlite(tmp_path / "own.db")
    own = _content(tmp_path / "own.db")
    assert _content(tmp_path / "one" / "mlflow.db") == own
    assert _content(tmp_path / "two" / "mlflow.db") == own


@pytest.mark.parametrize("damage", [b"", b"no database", None])
def test_a_damaged_one_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    made = []

    def make(path: Path) -> None:
        made.append(path)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE runs (run_uuid)")
            connection.execute(
                "CREATE TABLE experiments (experiment_id, creation_time, last_update_time, artifact_location)"
            )
            connection.execute("INSERT INTO experiments VALUES (0, 1, 1, 'here')")

    copy_of_empty(tmp_path / "a.db", "1", make)
    (kept,) = (cache_dir() / "stores").iterdir()
    whole, content = kept.read_bytes(), _content(kept)
    kept.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    copy_of_empty(tmp_path / "b.db", "1", make)
    copy_of_empty(tmp_path / "c.db", "1", make)
    assert made == [tmp_path / "a.db", tmp_path / "b.db"]
    assert _content(kept) == content
    copy_of_empty(tmp_path / "d.db", "2", make)
    assert len(made) == 3, "another version has other tables"


def test_it_needs_no_cache(tmp_path: Path) -> None:
    cache_dir().parent.mkdir()
    cache_dir().write_text("no directory")
    client.open_store(sqlite_uri(tmp_path / "runs" / "mlflow.db"), tmp_path / "runs")
    assert (tmp_path / "runs" / "mlflow.db").is_file()
