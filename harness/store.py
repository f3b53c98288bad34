"""What stands between us and MLflow's stores: opening them safely, paging, batches. The only module that imports it."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.errors import UserError
from harness.files import replacing
from harness.locks import alone
from harness.track_format import Point

# MLflow refuses more than 1000 metrics, 100 params or 100 tags in one call, and 1000 of all together.
_METRICS_PER_CALL, _PAIRS_PER_CALL = 800, 100
# What a URI reads as something else than a letter of a path.
_QUOTED = frozenset("?%")


def sqlite_uri(path: Path) -> str:
    """Return the URI under which MLflow opens the SQLite file `path` and nothing else.

    Raises:
        UserError: the installed SQLAlchemy has no way to write such a path.
    """
    plain = f"sqlite:///{path}"
    if sqlite_file(plain) == path:
        return plain
    # Slashes too, from the first folder that needs it: MLflow makes the folder that the text of a URI names.
    odd = next(index for index, part in enumerate(path.parts) if set(part) & _QUOTED)
    uri = f"sqlite:///{Path(*path.parts[:odd])}/{quote('/'.join(path.parts[odd:]), safe='')}"
    if sqlite_file(uri) != path:
        raise UserError(f"{path}: this SQLAlchemy opens no path with {' or '.join(sorted(_QUOTED))}; choose another")
    return uri


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store, None for a store of another kind."""
    if not uri.startswith("sqlite:///"):
        return None
    if not set(uri) & _QUOTED:
        return Path(uri.removeprefix("sqlite:///"))
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or ":memory:")


def open_store(uri: str) -> Any:
    """Return MLflow's client of a store that exists and is up to date; raises whatever its backend raises."""
    if (path := sqlite_file(uri)) is not None:
        _prepare_sqlite(path)
    client = _mlflow().MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


def created(client: Any, name: str, location: str | None) -> str:
    """Create an experiment; it is no error if another process does so at the same moment."""
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except Exception:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def busy(error: Exception) -> bool:
    """Whether a store refused only because somebody else was writing."""
    text = str(error).lower()
    return any(phrase in text for phrase in ("database is locked", "deadlock", "could not serialize", "too many conn"))


def pages(client: Any, experiments: list[str], chosen: str) -> Iterator[Any]:
    """Yield every run of the experiments that a filter chooses."""
    token = None
    while True:
        page = client.search_runs(experiments, chosen, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def log(client: Any, run: str, metrics: list[Point], params: dict[str, str], tags: dict[str, str]) -> None:
    """Write everything of a run in as few calls as MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    numbers = [Metric(key, value, now, step) for key, value, step in metrics]
    fields = [Param(key, value) for key, value in params.items()]
    labels = [RunTag(key, value) for key, value in tags.items()]
    while numbers or fields or labels:
        client.log_batch(run, numbers[:_METRICS_PER_CALL], fields[:_PAIRS_PER_CALL], labels[:_PAIRS_PER_CALL])
        numbers, fields, labels = numbers[_METRICS_PER_CALL:], fields[_PAIRS_PER_CALL:], labels[_PAIRS_PER_CALL:]


def _prepare_sqlite(path: Path) -> None:
    """Create or migrate an SQLite store, one process at a time; a new one appears whole or not at all.

    MLflow builds its tables step by step: two processes that meet a fresh file, or a kill in between, break it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(f".{path.name}.lock")):
        if path.exists():
            _check_sqlite(path)
            _mlflow().MlflowClient(sqlite_uri(path)).search_experiments(max_results=1)
            return
        with replacing(path) as temporary:
            _mlflow().MlflowClient(sqlite_uri(temporary)).search_experiments(max_results=1)
            with contextlib.closing(sqlite3.connect(temporary)) as connection:
                # Readers and the writer do not wait for each other.
                connection.execute("PRAGMA journal_mode=WAL")


def _check_sqlite(path: Path) -> None:
    """Raise sqlite3.Error at once if it is no database that can be opened; MLflow would try for minutes."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version")


def _mlflow() -> Any:
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_CONFIGURE_LOGGING": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # The default is minutes of retries; an unreachable server must not hold up finished work.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow
