"""MLflow, the one place that leaderboards read.

The run directories stay the source of truth: MLflow is a mirror that `sync` can complete at any time. One process
writes. A run is recorded exactly once because its MLflow run carries the hash of its `run.json`: the same content is
found again, other content (a rerun) replaces it, and a run without the end mark (a crash) is made anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from harness.errors import HarnessError, UserError
from harness.files import alone, digest, read_json, write_json
from harness.run_directory import open_run, unchanged
from harness.spec import RunResult
from harness.store import busy, created, log, open_store, pages, sqlite_file, sqlite_uri
from harness.track_format import CONTENT, RUN_ID, Point, escape, flattened, params, points, read_run, restored, tags

# Seconds before the next try when another process is writing.
_WAITS = (0.1, 0.3, 1.0, 3.0, 10.0)
# Seconds for which a store that did not answer is not asked again while runs go on.
_SILENCE = 60.0
# Where failures wait that could not be sent, below `out`.
_UNSENT = ".unsent"
# The experiment of benchmarks; its runs are no runs of a data set.
BENCH = "bench"


class TrackingError(HarnessError):
    """The store could not be read or written; the text names it. Run directories are not affected."""


@dataclass(frozen=True)
class TrackedRun:
    """One run as MLflow has it. `started` is in milliseconds since 1970; `artifacts` is a URI."""

    mlflow_id: str
    artifacts: str
    started: int
    result: RunResult


class Tracker:
    """Records runs in one MLflow store and reads them back.

    `tracking_uri`, else `MLFLOW_TRACKING_URI`, else an SQLite file in `out` with its artifacts beside it.
    """

    def __init__(self, tracking_uri: str | None, out: Path) -> None:
        """Choose the store; nothing is opened or written yet. Raises UserError for a path that no URI can name."""
        self.out = out.absolute()
        self.uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(self.out / "mlflow.db")
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        self._silent_until = 0.0

    @property
    def store(self) -> str:
        """The store's address without a password, for messages."""
        return re.sub(r"//[^/@]*@", "//***@", self.uri)

    def prepare(self) -> None:
        """Open the store, creating or migrating it first.

        The parent calls this before it starts workers: several processes that meet a fresh SQLite file break it.

        Raises:
            TrackingError: the store cannot be reached or opened.
        """
        with self._reported("opened"):
            self._open()

    def record(self, directory: Path) -> str:
        """Record the finished run in `directory` unless it already is; return its MLflow run id.

        Raises:
            UserError: the directory holds no finished run.
            TrackingError: the store cannot be reached; the directory stays and `sync` sends it later.
        """
        result, content = read_run(directory)
        open_run(directory).check()
        with self._reported(f"given run {result.id}"):
            return self._patiently(result, content, "FINISHED", points(result, directory), directory)

    def record_failure(self, result: RunResult) -> bool:
        """Record a failed run in place of an earlier failure of the same id; return whether it could be sent.

        Never raises for an unreachable store: what it could not send is kept in `out` until `sync` can.
        """
        kept = self.out / _UNSENT / f"{escape(result.id)}.json"
        try:
            with self._reported(f"given run {result.id}"):
                self._patiently(result, digest(result.model_dump_json()), "FAILED", [], None)
        except TrackingError:
            write_json(kept, result.model_dump(mode="json"))
            return False
        kept.unlink(missing_ok=True)
        return True

    def send(self, result: RunResult) -> None:
        """Record a result now if the store answers; one that does not is left alone for a while, then `sync` sends.

        Never raises for an unreachable store.
        """
        if result.status == "failed":
            self.record_failure(result)
        elif time.monotonic() >= self._silent_until:
            try:
                self.record(Path(result.directory))
            except TrackingError:
                self._silent_until = time.monotonic() + _SILENCE

    def record_bench(self, document: dict[str, Any], path: Path) -> None:
        """Record a benchmark as one MLflow run per method in the experiment `bench`, with the document at each.

        Raises:
            TrackingError: the store cannot be reached.
        """
        for row in document["rows"]:
            facts = {"harness.bench": row["method"], **{f"machine.{k}": v for k, v in document["machine"].items()}}
            flat = {key: value for key, value in flattened(row).items() if isinstance(value, (int, float))}
            numbers = [(escape(key), float(value), 0) for key, value in flat.items()]
            rest = {key: str(value) for key, value in flattened(row).items() if key not in flat}
            self.note(BENCH, f"{row['method']}-{document['time']}", facts, numbers, rest, path)

    def note(
        self,
        experiment: str,
        name: str,
        tags: dict[str, str],
        numbers: list[Point],
        params: dict[str, str] | None = None,
        artifact: Path | None = None,
    ) -> None:
        """Record something that is no run of a data set, in an experiment of its own.

        Raises:
            TrackingError: the store cannot be reached.
        """
        with self._reported(f"given {name}"):
            client, place = self._open(), self._experiment(experiment)
            run = client.create_run(place, run_name=name, tags=tags)
            log(client, run.info.run_id, numbers, params or {}, {})
            if artifact is not None:
                client.log_artifact(run.info.run_id, str(artifact))
            client.set_terminated(run.info.run_id, "FINISHED")

    def notes(self, experiment: str, tag: str) -> list[str]:
        """Return what `note` recorded under a tag, the oldest first.

        Raises:
            TrackingError: the store cannot be reached.
        """
        with self._reported("read"):
            place = self._open().get_experiment_by_name(experiment)
            chosen = f"tags.`{tag}` != '' and attributes.status = 'FINISHED'"
            runs = list(pages(self._open(), [place.experiment_id], chosen)) if place else []
        return [run.data.tags[tag] for run in sorted(runs, key=lambda run: run.info.start_time)]

    def sync(self, out: Path | None = None) -> list[str]:
        """Record every finished run directory below `out` (default: the tracker's) that the store lacks.

        Returns one line per problem; what it names stays where it is and is sent next time.
        """
        try:
            with self._reported("read"):
                known = {run.data.tags.get(CONTENT) for run in self._search("FINISHED", None)}
        except TrackingError as error:
            return [str(error)]
        problems = []
        for path in sorted((out or self.out).glob("*/run.json")):
            try:
                if read_run(path.parent)[1] not in known:
                    self.record(path.parent)
            except HarnessError as error:
                problems.append(str(error))
        for path in sorted((self.out / _UNSENT).glob("*.json")):
            try:
                failure = RunResult.model_validate(read_json(path))
            except (HarnessError, ValueError):  # of another version; it cannot be sent any more
                path.unlink(missing_ok=True)
                continue
            if not self.record_failure(failure):
                problems.append(f"failure of {failure.id} could not be recorded")
        return problems

    def runs(self, datasets: Collection[str] | None = None) -> list[TrackedRun]:
        """Return all finished runs of the named (default: all) data sets, one per run id, the oldest first.

        Raises:
            TrackingError: the store cannot be reached.
        """
        return self._tracked("FINISHED", datasets)

    def failures(self, datasets: Collection[str] | None = None) -> list[TrackedRun]:
        """Return all failed runs like `runs`."""
        return self._tracked("FAILED", datasets)

    def artifact(self, run: TrackedRun, name: str) -> Path:
        """Return a local path of the run's file `name`; files of a remote store are fetched once, into `out`.

        Raises:
            UserError: the run has no such file here.
            Damaged: it is not what the run wrote.
            TrackingError: the store cannot be reached.
        """
        parts = urlparse(run.artifacts)
        if parts.scheme in ("", "file"):
            path = Path(unquote(parts.path) if parts.scheme else run.artifacts) / name
            # A run folder that was moved keeps its artifacts beside its store.
            moved = self.out / "mlartifacts" / path.as_posix().rpartition("/mlartifacts/")[2]
            for candidate in (path, moved):
                if candidate.is_file():
                    return unchanged(candidate, run.result)
            raise UserError(f"{path}: no such file, although {self.store} lists it for run {run.result.id}")
        cached = self.out / ".artifacts" / run.mlflow_id / name
        if not cached.is_file():
            with self._reported(f"asked for {name} of run {run.result.id}"):
                client = self._open()
                cached.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=cached.parent) as temporary:
                    os.replace(client.download_artifacts(run.mlflow_id, name, temporary), cached)
        return unchanged(cached, run.result)

    def _open(self) -> Any:
        if self._client is None:
            self._client = open_store(self.uri)
        return self._client

    @contextlib.contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        # MLflow's stores raise whatever their backend does: SQLAlchemy, requests, OSError and its own.
        try:
            yield
        except HarnessError:
            raise
        except Exception as error:
            reason = " ".join(str(error).replace(self.uri, self.store).split())[:300]
            raise TrackingError(
                f"MLflow store {self.store} could not be {doing} ({type(error).__name__}: {reason}); "
                "run directories stay and are sent when it can"
            ) from error

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            client = self._open()
            found = client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            # A server decides itself where artifacts lie; a bare database has no place for them.
            served = urlparse(self.uri).scheme in ("http", "https", "databricks")
            location = None if served else (self.out / "mlartifacts" / escape(name)).as_uri()
            if found is not None:
                self._experiments[name] = found.experiment_id
            else:
                self._experiments[name] = created(client, name, location)
        return self._experiments[name]

    def _patiently(self, *facts: Any) -> str:
        """Write a run, again if another process was in the way; a second try finds what the first one wrote."""
        # Another command that syncs the same directory may be about to send this very run. Few files, many runs.
        with alone(self.out / ".sending" / digest(facts[0].id)[0]):
            for wait in _WAITS:
                try:
                    return self._write(*facts)
                except Exception as error:
                    if not busy(error):
                        raise
                    time.sleep(wait * random.uniform(0.5, 1.5))
            return self._write(*facts)

    def _write(self, result: RunResult, content: str, status: str, metrics: list[Point], directory: Path | None) -> str:
        client, experiment = self._open(), self._experiment(result.dataset)
        earlier = list(pages(client, [experiment], f"tags.`{RUN_ID}` = '{result.id}'"))
        same = [r for r in earlier if r.info.status == status and r.data.tags.get(CONTENT) == content]
        if same:
            kept = same[0].info.run_id
        else:
            # Tagged from the start, so that what a crash leaves is found and removed.
            run = client.create_run(experiment, run_name=result.id, tags={RUN_ID: result.id})
            kept = run.info.run_id
            log(client, kept, metrics, params(result), tags(result, content))
            if directory is not None:
                client.log_artifacts(kept, str(directory))
            client.set_terminated(kept, status)  # the end mark: what lacks it is made anew
        for run in earlier:
            # A failed rerun does not take away the result that an earlier run gave.
            if run.info.run_id != kept and not (status == "FAILED" and run.info.status == "FINISHED"):
                client.delete_run(run.info.run_id)
                self._drop_files(run.info.artifact_uri)
        return str(kept)

    def _drop_files(self, artifacts: str) -> None:
        # MLflow only marks a run as deleted; its files under `out` would stay for ever.
        path = Path(unquote(urlparse(artifacts).path))
        if urlparse(artifacts).scheme in ("", "file") and self.out / "mlartifacts" in path.parents:
            shutil.rmtree(path.parent if path.name == "artifacts" else path, ignore_errors=True)

    def _search(self, status: str, datasets: Collection[str] | None) -> Iterator[Any]:
        file = sqlite_file(self.uri)
        if file is not None and not file.exists():
            return  # nothing was ever recorded there, and who reads makes nothing
        client, token, experiments = self._open(), None, []
        while True:
            page = client.search_experiments(page_token=token)
            experiments += [e.experiment_id for e in page if datasets is None or e.name in datasets]
            token = page.token
            if not token:
                break
        # An empty list of experiments is refused by some stores.
        if experiments:
            chosen = f"tags.`{RUN_ID}` != '' and attributes.status = '{status}'"
            yield from pages(client, experiments, chosen)

    def _tracked(self, status: str, datasets: Collection[str] | None) -> list[TrackedRun]:
        newest: dict[str, TrackedRun] = {}
        with self._reported("read"):
            found = [run for each in self._search(status, datasets) if (run := _tracked(each)) is not None]
        for run in sorted(found, key=lambda run: (run.started, run.mlflow_id)):
            newest[run.result.id] = run
        return list(newest.values())


def _tracked(run: Any) -> TrackedRun | None:
    try:
        result = restored(run.data.metrics, run.data.tags)
    except ValueError as error:
        # One run of another version must not hide all others.
        reason = " ".join(str(error).split())[:200]
        logging.getLogger(__name__).warning("MLflow run %s is left out: %s", run.info.run_id, reason)
        return None
    return TrackedRun(run.info.run_id, run.info.artifact_uri, run.info.start_time, result)
