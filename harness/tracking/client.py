"""What stands between us and MLflow's stores: opening them safely, paging, batches. The only module that imports it."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from harness.io.atomic import replacing
from harness.io.locks import alone
from harness.tracking.data_sets import DataSet
from harness.tracking.empty_store import copy_of_empty
from harness.tracking.format import Point, Stored
from harness.tracking.logged_model import MODEL
from harness.tracking.sqlite import rebase, sqlite_file, sqlite_uri

# MLflow refuses more than 1000 metrics, 100 params or 100 tags in one call, and 1000 of all together.
_METRICS_PER_CALL, _PAIRS_PER_CALL = 800, 100


def open_store(uri: str, out: Path) -> Any:
    """Return MLflow's client of a store that exists, is up to date and writes artifacts where it says.

    Those of a database file go below `out`, see `sqlite.rebase`. Raises whatever the store's backend raises.
    """
    if (path := sqlite_file(uri)) is not None:
        _prepare_sqlite(path)
        rebase(path, out)
    return _client(uri)


def import_mlflow(uri: str) -> None:
    """Import MLflow and what opens the store at `uri`, which takes seconds, while something else is waited for."""
    _mlflow()
    if sqlite_file(uri) is not None:  # MLflow imports this half of itself only when it opens such a store
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def _client(uri: str) -> Any:
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


def searched(
    client: Any, status: str, tags: Collection[str], experiments: Collection[str] | None, whole: bool = True
) -> list[Stored]:
    """Return the runs that end in `status` and carry the first of `tags`, in the named (default: all) experiments.

    Of their tags those that begin with one of `tags` are there; without `whole` neither metrics nor params. Raises
    whatever the store's backend raises.
    """
    token, chosen = None, dict[str, str]()
    while True:
        page = client.search_experiments(page_token=token)
        chosen |= {e.experiment_id: e.name for e in page if experiments is None or e.name in experiments}
        token = page.token
        if not token:
            break
    if not chosen:  # refused by some stores
        return []
    first, begins = next(iter(tags)), tuple(tags)
    return [
        stored_of(run, chosen[run.info.experiment_id], begins, whole)
        for run in pages(client, list(chosen), f"tags.`{first}` != '' and attributes.status = '{status}'")
    ]


def stored_of(run: Any, experiment: str, begins: tuple[str, ...] = ("",), whole: bool = True) -> Stored:
    """Return what MLflow has of a run, with those of its tags that begin so; without `whole` no metrics and params."""
    tags = {key: value for key, value in run.data.tags.items() if key.startswith(begins)}
    times = (run.info.start_time, run.info.end_time or 0)
    numbers = (dict(run.data.metrics), dict(run.data.params)) if whole else ({}, {})
    return Stored(run.info.run_id, experiment, run.info.artifact_uri, *times, tags, *numbers)


def pages(client: Any, experiments: list[str], chosen: str) -> Iterator[Any]:
    """Yield every run of the experiments that a filter chooses."""
    token = None
    while True:
        page = client.search_runs(experiments, chosen, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def log(
    client: Any,
    run: str,
    metrics: list[Point],
    params: dict[str, str],
    tags: dict[str, str],
    model: str | None = None,
    data: DataSet | None = None,
) -> None:
    """Write everything of a run in as few calls as MLflow allows.

    Final metrics, those without a slash in their key, are said to be of a logged `model` and of the data set `data`.
    """
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    of_what = {"model_id": model, "dataset_name": data.name, "dataset_digest": data.digest} if model and data else {}
    numbers = [
        Metric(p.key, p.value, p.time or now, p.step, run_id=run, **({} if "/" in p.key else of_what)) for p in metrics
    ]
    fields = [Param(key, value) for key, value in params.items()]
    labels = [RunTag(key, value) for key, value in tags.items()]
    while numbers or fields or labels:
        client.log_batch(run, numbers[:_METRICS_PER_CALL], fields[:_PAIRS_PER_CALL], labels[:_PAIRS_PER_CALL])
        numbers, fields, labels = numbers[_METRICS_PER_CALL:], fields[_PAIRS_PER_CALL:], labels[_PAIRS_PER_CALL:]


def log_data(client: Any, run: str, found: Collection[DataSet]) -> None:
    """Log the data sets that a run read."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for each in found:
        http = each.source.startswith(("http://", "https://"))
        source = HTTPDatasetSource(each.source) if http else CodeDatasetSource({"source": each.source})
        facts = MetaDataset(source, each.name, each.digest).to_dict()
        facts |= {"schema": json.dumps(each.schema), "profile": json.dumps(each.profile)}
        inputs.append(DatasetInput(Dataset(**facts), [InputTag("mlflow.data.context", each.context)]))
    if inputs:
        client.log_inputs(run, inputs)


def log_model(client: Any, experiment: str, run: str, tags: dict[str, str], write: Callable[[Path, str], None]) -> str:
    """Log a model of a run, whose files `write` writes into a directory, given its id.

    Files of a store on this machine are written where they stay. Returns the model's id.
    """
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(experiment, name=MODEL, source_run_id=run, tags=tags)
    client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
    if (place := local_path(model.artifact_location)) is not None:
        place.mkdir(parents=True)
        write(place, model.model_id)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            write(Path(temporary), model.model_id)
            client.log_model_artifacts(model.model_id, temporary)
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def log_files(client: Any, run: str, directory: Path, without: Collection[str]) -> None:
    """Log the files of a directory but for those named in `without`, which lie elsewhere."""
    if not without:
        client.log_artifacts(run, str(directory))
        return
    for path in sorted(directory.iterdir()):
        if path.is_file() and path.name not in without:
            client.log_artifact(run, str(path))


def drop_models(client: Any, experiment: str, run: str) -> list[str]:
    """Remove the logged models of a run; return where their files are."""
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run}'")
    for model in found:
        client.delete_logged_model(model.model_id)
    return [model.artifact_location for model in found]


def local_path(uri: str) -> Path | None:
    """Return the path of artifacts on this machine, None for those elsewhere."""
    parts = urlparse(uri)
    return Path(unquote(parts.path if parts.scheme else uri)) if parts.scheme in ("", "file") else None


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
            copy_of_empty(temporary, metadata.version("mlflow"), _make_sqlite)
            with contextlib.closing(sqlite3.connect(temporary)) as connection:
                # Readers and the writer do not wait for each other.
                connection.execute("PRAGMA journal_mode=WAL")


def _make_sqlite(path: Path) -> None:
    _mlflow().MlflowClient(sqlite_uri(path)).search_experiments(max_results=1)


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
