"""What a store and the directory of runs beside it hold: read without writing anything to either."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from harness.errors import HarnessError, UserError
from harness.paths import cache_dir
from harness.records.result import RunResult
from harness.records.run_directory import unchanged
from harness.tracking import sqlite
from harness.tracking.client import open_store, searched
from harness.tracking.format import CONTENT, OWN, PROVENANCE, RUN_ID, Stored, restored
from harness.tracking.sqlite import sqlite_file, sqlite_uri
from harness.tracking.times import times_of
from harness.tracking.unsent_runs import unsent_failures, waiting


class TrackingError(HarnessError):
    """The store could not be read or written; the text names it. Run directories are not affected."""


@dataclass(frozen=True)
class TrackedRun:
    """One run as MLflow has it, or will. `started` is when it began, in milliseconds since 1970.

    `artifacts` is a URI or a path, `content` is the hash of its `run.json`, "" if that is not known.
    """

    mlflow_id: str
    artifacts: str
    started: int
    result: RunResult
    content: str = ""


class Recorded:
    """The runs of one MLflow store, and the finished ones in `out` that it does not have yet.

    `tracking_uri`, else `MLFLOW_TRACKING_URI`, else an SQLite file in `out` with its artifacts beside it.
    """

    def __init__(self, tracking_uri: str | None, out: Path) -> None:
        """Choose the store; nothing is opened or written yet. Raises UserError for a path that no URI can name."""
        self.out = out.absolute()
        self.uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(self.out / "mlflow.db")
        self._client: Any = None

    @property
    def store(self) -> str:
        """The store's address without a password, for messages."""
        return re.sub(r"//[^/@]*@", "//***@", self.uri)

    @property
    def address(self) -> str:
        """Where a user sees the runs: an address, or the command that shows them."""
        if urlparse(self.uri).scheme in ("http", "https"):
            return self.store
        path = sqlite_file(self.uri)
        if path is None:
            return f"mlflow ui --backend-store-uri {shlex.quote(self.store)}"
        here = Path.cwd()
        short = path.relative_to(here) if path.is_relative_to(here) else path
        return f"mlflow ui --backend-store-uri {shlex.quote(sqlite_uri(short))}"

    def runs(self, datasets: Collection[str] | None = None) -> list[TrackedRun]:
        """Return all finished runs of the named (default: all) data sets, one per run id, the oldest first.

        Raises:
            TrackingError: the store cannot be reached.
        """
        return self.read(datasets)[0]

    def read(self, datasets: Collection[str] | None = None) -> tuple[list[TrackedRun], list[str]]:
        """Return what `runs` and `unreadable` do, from one look.

        Raises:
            TrackingError: the store cannot be reached.
        """
        stored = self._stored("FINISHED", datasets)
        newest = _newest(stored)
        # What waits will take the place of what is recorded under its id.
        found, problems = waiting(self.out, {run.tags.get(CONTENT, "") for run in stored})
        for each in found:
            if datasets is None or each.result.dataset in datasets:
                started, place = times_of(each.result, each.directory).started, str(each.directory)
                newest[each.result.id] = TrackedRun(each.content[:32], place, started, each.result, each.content)
        return sorted(newest.values(), key=lambda run: (run.started, run.mlflow_id)), problems

    def failures(self, datasets: Collection[str] | None = None) -> list[TrackedRun]:
        """Return all failed runs like `runs`."""
        newest = _newest(self._stored("FAILED", datasets))
        for path, result in unsent_failures(self.out):
            if result is not None and (datasets is None or result.dataset in datasets):
                started = result.started or int(1000 * path.stat().st_mtime)
                newest[result.id] = TrackedRun(path.stem, str(path.parent), started, result)
        return sorted(newest.values(), key=lambda run: (run.started, run.mlflow_id))

    def unreadable(self) -> list[str]:
        """Return one line for each directory in `out` that should hold a finished run and cannot be read.

        Raises:
            TrackingError: the store cannot be reached.
        """
        return waiting(self.out, self._contents())[1]

    def notes(self, experiment: str, tag: str) -> list[str]:
        """Return what `Tracker.note` recorded under a tag, the oldest first.

        Raises:
            TrackingError: the store cannot be reached.
        """
        return [run.tags[tag] for run in self.noted(experiment, (tag,))]

    def noted(self, experiment: str, tags: Collection[str]) -> list[Stored]:
        """Return what `Tracker.note` recorded in an experiment under the first of `tags`, the oldest first.

        Raises:
            TrackingError: the store cannot be reached.
        """
        with self._reported("read"):
            runs = self._search("FINISHED", tags, (experiment,), whole=False)
        return sorted(runs, key=lambda run: (run.started, run.id))

    def artifact(self, run: TrackedRun, name: str) -> Path:
        """Return a local path of the run's file `name`; files of a remote store are fetched once.

        Raises:
            UserError: the run has no such file here.
            Damaged: it is not what the run wrote.
            TrackingError: the store cannot be reached.
        """
        return unchanged(self.file(run.mlflow_id, run.artifacts, name, f"run {run.result.id}"), run.result)

    def file(self, mlflow_id: str, artifacts: str, name: str, whose: str) -> Path:
        """Return a local path of the file `name` among the artifacts of an MLflow run; `whose` is said in errors.

        Raises:
            UserError: there is no such file here.
            TrackingError: the store cannot be reached.
        """
        if places := self.places(artifacts):
            for place in places:
                if (path := place / name).is_file():
                    return path
            raise UserError(f"{places[-1] / name}: no such file, although {self.store} lists it for {whose}")
        cached = cache_dir() / "artifacts" / mlflow_id / name
        if not cached.is_file():
            with self._reported(f"asked for {name} of {whose}"):
                client = self._open()
                cached.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=cached.parent) as temporary:
                    os.replace(client.download_artifacts(mlflow_id, name, temporary), cached)
        return cached

    def places(self, artifacts: str) -> list[Path]:
        """Return where artifacts may lie on this machine, the first choice first; nowhere for those of a server."""
        parts = urlparse(artifacts)
        if parts.scheme not in ("", "file"):
            return []
        # A store that was moved or copied has its own files beside it, wherever they were written to.
        rest, file = sqlite.below(artifacts), sqlite_file(self.uri)
        homes = [self.out, *([file.absolute().parent] if file else [])] if rest else []
        noted = Path(unquote(parts.path) if parts.scheme else artifacts)
        return list(dict.fromkeys([*(home / rest for home in homes if rest), noted]))

    def _open(self) -> Any:
        if self._client is None:
            self._client = open_store(self.uri, self.out)
        return self._client

    @contextlib.contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        # Stores raise whatever their backend does: SQLAlchemy, sqlite3, requests, OSError and MLflow's own.
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

    def _search(
        self, status: str, tags: Collection[str], experiments: Collection[str] | None, whole: bool = True
    ) -> list[Stored]:
        if (path := sqlite_file(self.uri)) is None:
            return searched(self._open(), status, tags, experiments, whole)
        # What does not exist holds nothing, and who reads makes nothing.
        return sqlite.stored(path, status, tags, experiments, whole) if os.path.exists(path) else []

    def _stored(self, status: str, datasets: Collection[str] | None) -> list[Stored]:
        with self._reported("read"):
            return self._search(status, (RUN_ID, OWN, PROVENANCE), datasets)

    def _contents(self) -> set[str]:
        """The hashes of the finished runs that the store has."""
        with self._reported("read"):
            runs = self._search("FINISHED", (RUN_ID, CONTENT), None, whole=False)
        return {run.tags.get(CONTENT, "") for run in runs}


def _newest(stored: list[Stored]) -> dict[str, TrackedRun]:
    found: dict[str, TrackedRun] = {}
    for run in sorted(stored, key=lambda run: (run.started, run.id)):
        try:
            result = restored(run)
        except ValueError as error:
            # One run of another version must not hide all others.
            reason = " ".join(str(error).split())[:200]
            logging.getLogger(__name__).warning("MLflow run %s is left out: %s", run.id, reason)
            continue
        found[result.id] = TrackedRun(run.id, run.artifacts, run.started, result, run.tags.get(CONTENT, ""))
    return found
