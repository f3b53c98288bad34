"""MLflow, the one place that leaderboards read.

The run directories stay the source of truth: MLflow is a mirror that `sync` can complete at any time. One process
writes. A run is recorded exactly once because its MLflow run carries the hash of its `run.json`: the same content is
found again, other content (a rerun) replaces it, and a run without the end mark (a crash) is made anew.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from harness.errors import HarnessError
from harness.io.atomic import write_json
from harness.io.digests import digest
from harness.io.locks import alone
from harness.records.result import RunResult
from harness.records.run_directory import WEIGHTS
from harness.tracking.client import (
    busy,
    created,
    drop_models,
    import_mlflow,
    local_path,
    log,
    log_data,
    log_files,
    log_model,
    pages,
)
from harness.tracking.data_sets import data_sets
from harness.tracking.description import MODEL_TAGS, PARENT_RUN, system_tags
from harness.tracking.families import FAMILY, PARENT, family_of, gather, loose
from harness.tracking.fields import escape
from harness.tracking.format import CONTENT, RUN_ID, Point, flattened, params, points, read_run, tags
from harness.tracking.logged_model import has_model, write_model
from harness.tracking.recorded_runs import Recorded, TrackedRun, TrackingError
from harness.tracking.sqlite import ARTIFACTS
from harness.tracking.times import times_of
from harness.tracking.unsent_runs import UNSENT, unsent_failures, waiting

__all__ = ["BENCH", "TrackedRun", "Tracker", "TrackingError"]

# Seconds before the next try when another process is writing.
_WAITS = (0.1, 0.3, 1.0, 3.0, 10.0)
# Seconds for which a store that did not answer is not asked again while runs go on.
_SILENCE = 60.0
# Seconds between two looks at what seeds share while runs go on: each look reads all of them.
_EVERY = 60.0
# The experiment of benchmarks; its runs are no runs of a data set.
BENCH = "bench"


class Tracker(Recorded):
    """Records runs in one MLflow store, and reads them back as `Recorded` does."""

    def __init__(self, tracking_uri: str | None, out: Path) -> None:
        """Choose the store; nothing is opened or written yet. Raises UserError for a path that no URI can name."""
        super().__init__(tracking_uri, out)
        self._experiments: dict[str, str] = {}
        self._silent_until = 0.0
        # Experiments and families whose parents do not count all their runs yet, and when some were last counted.
        self._uncounted: set[tuple[str, str]] = set()
        self._counted = time.monotonic()

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
        return self._record(directory, 0.0)

    def _record(self, directory: Path, every: float) -> str:
        run = read_run(directory)
        run.check()
        with self._reported(f"given run {run.result.id}"):
            return self._recorded(run.result, run.content, directory, every)

    def record_failure(self, result: RunResult) -> bool:
        """Record a failed run in place of an earlier failure of the same id; return whether it could be sent.

        Never raises for an unreachable store: what it could not send is kept in `out` until `sync` can.
        """
        kept = self.out / UNSENT / f"{escape(result.id)}.json"
        try:
            with self._reported(f"given run {result.id}"):
                self._recorded(result, digest(result.model_dump_json()), None)
        except TrackingError:
            write_json(kept, result.model_dump(mode="json"))
            return False
        kept.unlink(missing_ok=True)
        return True

    def send(self, result: RunResult) -> None:
        """Record a result now if the store answers; one that does not is left alone for a while, then `sync` sends.

        Parents count the runs sent so once in a while, and when `sync` ends. Never raises for an unreachable store.
        """
        if result.status == "failed":
            self.record_failure(result)
        elif time.monotonic() >= self._silent_until:
            try:
                self._record(Path(result.directory), _EVERY)
            except TrackingError:
                self._silent_until = time.monotonic() + _SILENCE

    def record_bench(self, document: dict[str, Any], path: Path) -> None:
        """Record a benchmark as one MLflow run per method in the experiment `bench`, with the document at each.

        Raises:
            TrackingError: the store cannot be reached.
        """
        for row in document["rows"]:
            facts = {"harness.bench": row["method"], **{f"machine.{k}": v for k, v in document["machine"].items()}}
            facts |= {f"harness.{name}": document[name] for name in ("dataset", "features")}
            flat = {key: value for key, value in flattened(row).items() if isinstance(value, (int, float))}
            numbers = [Point(escape(key), float(value)) for key, value in flat.items()]
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

        What a crash left undone between runs and their parents is done as well. Returns one line per problem; what it
        names stays where it is and is sent next time.
        """
        try:
            known = self._contents()
        except TrackingError as error:
            return [str(error)]
        found, problems = waiting(out or self.out, known)
        for each in found:
            try:
                self._record(each.directory, math.inf)  # what they share is counted below
            except HarnessError as error:
                problems.append(str(error))
        for path, failure in unsent_failures(self.out):
            if failure is None:
                path.unlink(missing_ok=True)
            elif not self.record_failure(failure):
                problems.append(f"failure of {failure.id} could not be recorded")
        try:
            self._gather_loose()
        except TrackingError as error:
            problems.append(str(error))
        return problems

    def _gather_loose(self) -> None:
        with self._reported("brought up to date"):
            self._count()
        with self._reported("read"):
            marks = (FAMILY, PARENT_RUN)
            finished = self._search("FINISHED", (RUN_ID, *marks), None, whole=False)
            parents = self._search("FINISHED", (PARENT, *marks), None, whole=False)
        for experiment, family in sorted(loose(finished, parents)):
            with self._reported("brought up to date"):
                self._gather(experiment, family)

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

    def _recorded(self, result: RunResult, content: str, directory: Path | None, every: float = 0.0) -> str:
        """Write a finished run, whose directory is given, or a failed one; then what families share, if it is time."""
        # Another command that syncs the same directory may be about to send this very run. Few files, many runs.
        with alone(self.out / ".sending" / digest(result.id)[0]):
            run: str = _patiently(lambda: self._write(result, content, directory))
        if directory is not None and (family := family_of(result)):
            self._uncounted.add((result.dataset, family))
        if time.monotonic() - self._counted >= every:
            self._count()
        return run

    def _count(self) -> None:
        while self._uncounted:
            self._gather(*next(iter(self._uncounted)))
        self._counted = time.monotonic()

    def _gather(self, experiment: str, family: str) -> None:
        with alone(self.out / ".sending" / f"family-{family[0]}"):
            _patiently(lambda: gather(self._open(), self._experiment(experiment), family))
        self._uncounted.discard((experiment, family))

    def _write(self, result: RunResult, content: str, directory: Path | None) -> str:
        status = "FAILED" if directory is None else "FINISHED"
        client, experiment = self._open(), self._experiment(result.dataset)
        earlier = list(pages(client, [experiment], f"tags.`{RUN_ID}` = '{result.id}'"))
        same = [r for r in earlier if r.info.status == status and r.data.tags.get(CONTENT) == content]
        kept = same[0].info.run_id if same else self._new(client, experiment, result, content, directory)
        for run in earlier:
            # A failed rerun does not take away the result that an earlier run gave.
            if run.info.run_id != kept and not (directory is None and run.info.status == "FINISHED"):
                client.delete_run(run.info.run_id)
                for place in (run.info.artifact_uri, *drop_models(client, experiment, run.info.run_id)):
                    self._drop_files(place)
        return str(kept)

    def _new(self, client: Any, experiment: str, result: RunResult, content: str, directory: Path | None) -> str:
        times, numbers, data = times_of(result, directory), list[Point](), data_sets(result)
        # Tagged from the start, so that what a crash leaves is found and removed.
        made = client.create_run(experiment, times.started, tags={RUN_ID: result.id}, run_name=result.id)
        run, labels, model = str(made.info.run_id), tags(result, content) | system_tags(result), None
        if directory is not None:
            numbers = points(result, directory, times)
            labels[FAMILY] = family_of(result)
            log_data(client, run, data)
            if has_model(directory):
                model = log_model(
                    client,
                    experiment,
                    run,
                    {key: labels[key] for key in MODEL_TAGS if key in labels},
                    lambda place, model: write_model(place, result, directory, run, model),
                )
        log(client, run, numbers, params(result), labels, model, data[-1] if data else None)
        if directory is not None:
            log_files(client, run, directory, {WEIGHTS} if model else set())
        client.set_terminated(run, "FAILED" if directory is None else "FINISHED", times.ended)  # else made anew
        return run

    def _drop_files(self, artifacts: str) -> None:
        # MLflow only marks a run as deleted; its files under `out` would stay for ever.
        path = local_path(artifacts)
        if path is not None and self.out / ARTIFACTS in path.parents:
            shutil.rmtree(path.parent if path.name == "artifacts" else path, ignore_errors=True)


def _patiently(write: Callable[[], Any]) -> Any:
    """Write something, again if another process was in the way; a second try finds what the first one wrote."""
    for wait in _WAITS:
        try:
            return write()
        except Exception as error:
            if not busy(error):
                raise
            time.sleep(wait * random.uniform(0.5, 1.5))
    return write()
