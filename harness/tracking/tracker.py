"""MLflow, the one place that leaderboards read.

The run directories stay the source of truth: MLflow is a mirror that `sync` can complete at any time. One process
writes. A run is recorded exactly once because its MLflow run carries the hash of its `run.json`: the same content is
found again, other content (a rerun) replaces it, and a run without the end mark (a crash) is made anew.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from harness.errors import HarnessError
from harness.io.atomic import write_json
from harness.io.digests import digest
from harness.io.locks import alone
from harness.records.result import RunResult
from harness.tracking.client import busy, created, import_mlflow, log, pages
from harness.tracking.format import CONTENT, RUN_ID, Point, escape, flattened, params, points, read_run, tags
from harness.tracking.recorded_runs import Recorded, TrackedRun, TrackingError
from harness.tracking.sqlite import ARTIFACTS
from harness.tracking.unsent_runs import UNSENT, unsent_failures, waiting

__all__ = ["BENCH", "TrackedRun", "Tracker", "TrackingError"]

# Seconds before the next try when another process is writing.
_WAITS = (0.1, 0.3, 1.0, 3.0, 10.0)
# Seconds for which a store that did not answer is not asked again while runs go on.
_SILENCE = 60.0
# The experiment of benchmarks; its runs are no runs of a data set.
BENCH = "bench"


class Tracker(Recorded):
    """Records runs in one MLflow store, and reads them back as `Recorded` does."""

    def __init__(self, tracking_uri: str | None, out: Path) -> None:
        """Choose the store; nothing is opened or written yet. Raises UserError for a path that no URI can name."""
        super().__init__(tracking_uri, out)
        self._experiments: dict[str, str] = {}
        self._silent_until = 0.0

    def prepare(self) -> None:
        """Open the store, creating or migrating it first.

        The parent calls this before it starts workers: several processes that meet a fresh SQLite file break it.

        Raises:
            TrackingError: the store cannot be reached or opened.
        """
        with self._reported("opened"):
            self._open()

    def import_mlflow(self) -> None:
        """Import what sending takes, which is seconds, while nobody waits for it."""
        import_mlflow(self.uri)

    def record(self, directory: Path) -> str:
        """Record the finished run in `directory` unless it already is; return its MLflow run id.

        Raises:
            UserError: the directory holds no finished run.
            TrackingError: the store cannot be reached; the directory stays and `sync` sends it later.
        """
        run = read_run(directory)
        run.check()
        with self._reported(f"given run {run.result.id}"):
            return self._patiently(run.result, run.content, "FINISHED", points(run.result, directory), directory)

    def record_failure(self, result: RunResult) -> bool:
        """Record a failed run in place of an earlier failure of the same id; return whether it could be sent.

        Never raises for an unreachable store: what it could not send is kept in `out` until `sync` can.
        """
        kept = self.out / UNSENT / f"{escape(result.id)}.json"
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

    def sync(self, out: Path | None = None) -> list[str]:
        """Record every finished run directory below `out` (default: the tracker's) that the store lacks.

        Returns one line per problem; what it names stays where it is and is sent next time.
        """
        try:
            known = self._contents()
        except TrackingError as error:
            return [str(error)]
        found, problems = waiting(out or self.out, known)
        for each in found:
            try:
                self.record(each.directory)
            except HarnessError as error:
                problems.append(str(error))
        for path, failure in unsent_failures(self.out):
            if failure is None:
                path.unlink(missing_ok=True)
            elif not self.record_failure(failure):
                problems.append(f"failure of {failure.id} could not be recorded")
        return problems

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            client = self._open()
            found = client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            # A server decides itself where artifacts lie; a bare database has no place for them.
            served = urlparse(self.uri).scheme in ("http", "https", "databricks")
            location = None if served else (self.out / ARTIFACTS / escape(name)).as_uri()
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
        if urlparse(artifacts).scheme in ("", "file") and self.out / ARTIFACTS in path.parents:
            shutil.rmtree(path.parent if path.name == "artifacts" else path, ignore_errors=True)
