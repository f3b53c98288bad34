"""Runs of several MLflow stores and submissions, as one list for one leaderboard."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlparse

from harness.errors import UserError
from harness.identity.check_record import FIELD, here
from harness.identity.code import code_hash
from harness.io.atomic import write_json
from harness.io.digests import digest
from harness.parity.record import fidelity
from harness.records.run_filter import RunFilter
from harness.records.spec import RunSpec
from harness.registry import method_class
from harness.report.leaderboard.uncertainty import Artifact
from harness.submissions.archive import plain
from harness.submissions.bundle import Entry, read, truth_hash
from harness.submissions.judge import Judgement, judge
from harness.tracking.benchmarks import Benchmark, recorded
from harness.tracking.sqlite import sqlite_file, sqlite_uri
from harness.tracking.tracker import TrackedRun, Tracker

# The field of a run's provenance that says where it comes from.
SOURCE = "source"


@dataclass(frozen=True)
class Sources:
    """Everything a leaderboard is made of; `notices` are lines that its reader must see."""

    runs: tuple[TrackedRun, ...]
    failures: tuple[TrackedRun, ...]
    artifact: Artifact
    notices: tuple[str, ...] = ()
    benchmarks: tuple[Benchmark, ...] = ()


@dataclass(frozen=True)
class _Source:
    """One store or submission; `open` reads it under the label that names it on the page.

    `place` is where it lies, of which a label is the end, as short as tells it from the others.
    """

    place: tuple[str, ...]
    open: Callable[[str], Sources]


@contextmanager
def joined(tracker: Tracker, also: Sequence[str] = ()) -> Iterator[Sources]:
    """Yield the runs of the tracker's store and of `also`: submission files, MLflow URIs, directories of either.

    A run whose settings are those of an earlier one is left out: the tracker's own store comes first, then `also` in
    its order. With `also`, every run's provenance names its source. A submitted run counts only once its metrics were
    computed again; runs of data sets that are not here are left out, with a notice. Files of submissions exist as long
    as the context.

    Raises:
        UserError: nothing is recorded anywhere, a word of `also` names nothing, or a submission does not hold.
        TrackingError: a store cannot be reached.
    """
    if not also:
        found = _read(tracker)
        _check_any(found, tracker)
        yield found
        return
    with tempfile.TemporaryDirectory() as scratch:
        sources = [_Source(_place(tracker.uri), lambda label: _labelled(_read(tracker), label))]
        sources += [source for word in also for source in _sources(word, tracker, Path(scratch))]
        places = {source.place for source in sources}
        merged = _merged([source.open(_label(source.place, places)) for source in sources])
        _check_any(merged, tracker)
        yield merged


def chosen(sources: Sources, only: RunFilter, place: str) -> Sources:
    """Return the runs, and the failures, that `only` means, with a notice that says so.

    Raises:
        UserError: a selector names what no run has, or no run is left.
    """
    if only.empty:
        return sources
    runs = only.chosen(sources.runs, lambda run: run.result)
    if not runs:
        raise only.none_left(place, len(sources.runs))
    failures = tuple(run for run in sources.failures if only.matches(run.result))
    notice = f"Only some runs are shown, {len(runs)} of {len(sources.runs)}: {only.words}"
    return replace(sources, runs=tuple(runs), failures=failures, notices=(*sources.notices, notice))


def _check_any(sources: Sources, tracker: Tracker) -> None:
    if not sources.runs and not sources.failures and not sources.benchmarks:
        raise UserError(f"{tracker.store}: no finished run is recorded there; start with `harness run --methods all`")


def _merged(sources: Sequence[Sources]) -> Sources:
    runs: dict[str, TrackedRun] = {}
    failures: dict[str, TrackedRun] = {}
    artifacts: dict[str, Artifact] = {}
    for source in sources:
        for run in source.runs:
            spec = run.result.spec
            if runs.setdefault(spec.identity if spec else run.result.id, run) is run:
                artifacts[run.mlflow_id] = source.artifact
    finished = {run.result.id for run in runs.values()}
    for failure in (failure for source in sources for failure in source.failures):
        if failure.result.id not in finished:
            failures.setdefault(failure.result.id, failure)
    notices = tuple(line for source in sources for line in source.notices)
    benchmarks = tuple(each for source in sources for each in source.benchmarks)

    def artifact(run: TrackedRun, name: str) -> Path:
        return artifacts[run.mlflow_id](run, name)

    return Sources(tuple(runs.values()), tuple(failures.values()), artifact, notices, benchmarks)


def _sources(word: str, tracker: Tracker, scratch: Path) -> list[_Source]:
    path = Path(word)
    if path.is_file():
        return [_submission(path, scratch)]
    if (path / "mlflow.db").is_file():
        return [_store(sqlite_uri((path / "mlflow.db").absolute()), path)]
    if path.is_dir():
        files = sorted(path.glob("*.zip"))
        if not files:
            raise UserError(f"--also {word}: holds neither an MLflow store (mlflow.db) nor submissions (*.zip)")
        return [_submission(file, scratch) for file in files]
    if "://" not in word:
        raise UserError(f"--also {word}: no such file or directory, and no MLflow URI such as sqlite:///FILE")
    # Artifacts that were moved lie beside a store in a file; those of a server are fetched beside our own.
    file = sqlite_file(word)
    if file is not None and not file.is_file():
        raise UserError(f"--also {word}: no such file")
    return [_store(word, tracker.out if file is None else file.parent)]


def _store(uri: str, out: Path) -> _Source:
    return _Source(_place(uri), lambda label: _labelled(_read(Tracker(uri, out)), label))


def _read(tracker: Tracker) -> Sources:
    benchmarks, problems = recorded(tracker)
    runs, failures = tuple(tracker.runs()), tuple(tracker.failures())
    return Sources(runs, failures, tracker.artifact, tuple(problems), tuple(benchmarks))


def _place(uri: str) -> tuple[str, ...]:
    """The host of a server, without what only its users know; the directory of a database file."""
    parts = urlparse(uri)
    return (parts.hostname,) if parts.hostname else (sqlite_file(uri) or Path(parts.path)).absolute().parts[1:-1]


def _label(place: tuple[str, ...], others: Collection[tuple[str, ...]]) -> str:
    """The end of a path, as many parts as no other place ends with."""
    for count in range(1, len(place)):
        if [other[-count:] for other in others].count(place[-count:]) == 1:
            return "/".join(place[-count:])
    return "/".join(place)


def _labelled(sources: Sources, label: str) -> Sources:
    def named(run: TrackedRun) -> TrackedRun:
        provenance = {**run.result.provenance, SOURCE: label}
        return replace(run, result=run.result.model_copy(update={"provenance": provenance}))

    benchmarks = tuple(replace(each, source=label) for each in sources.benchmarks)
    return replace(sources, runs=tuple(map(named, sources.runs)), benchmarks=benchmarks)


def _submission(path: Path, scratch: Path) -> _Source:
    return _Source(path.absolute().parts[1:], lambda label: _verified(path, label, scratch))


def _verified(path: Path, label: str, scratch: Path) -> Sources:
    """The runs of a submission that hold, their files in `scratch`."""
    judged = [judge(entry) for entry in read(path)]
    for each in judged:
        if each.verdict == "rejected":
            raise UserError(
                f"{path}: run {each.entry.id} is rejected: {each.reasons[0]}; see `harness verify-submission`"
            )
    unknown = [each for each in judged if each.verdict == "not verified"]
    notices = []
    if len(unknown) < len(judged):
        notices.append(
            f"{label}: submitted. Its metrics were computed again from its scores and the ground truth here; how the "
            "scores came about, seeds, selection and times are as the submission says."
        )
    if unknown:
        sets = ", ".join(sorted({plain(f"{run.entry.result.dataset}/{run.entry.result.features}") for run in unknown}))
        notices.append(f"{label}: {len(unknown)} of {len(judged)} runs are left out, not verified: {sets} is not here.")
    runs = [_run(each, label, scratch) for each in judged if each.verdict == "accepted"]
    return Sources(tuple(runs), (), lambda run, name: Path(run.artifacts) / name, tuple(notices))


def _run(judged: Judgement, label: str, scratch: Path) -> TrackedRun:
    entry, result, spec = judged.entry, judged.entry.result, judged.entry.result.spec
    assert spec is not None
    assert judged.truth is not None
    # What statistics are remembered by: scores, and what they were scored against.
    name = f"submission-{_content(entry)}-{truth_hash(judged.truth)[:16]}"
    directory = scratch / name
    entry.predictions.save(directory / "predictions.npz")
    judged.truth.save(directory / "truth.json")
    write_json(directory / "history.json", entry.history.model_dump(mode="json"))
    provenance = {**result.provenance, SOURCE: f"{label} (submitted)", "fidelity": _own_fidelity(spec)}
    provenance[FIELD] = here(spec.method, spec.code)
    # Of a seed that was run twice, our own counts rather than one that may have been made at any time.
    return TrackedRun(name, str(directory), 0, result.model_copy(update={"provenance": provenance}))


def _content(entry: Entry) -> str:
    scores = entry.predictions
    probs = b"" if scores.class_probs is None else scores.class_probs.tobytes()
    return digest(*scores.videos, scores.offsets.tobytes(), scores.scores.tobytes(), probs, entry.id)[:32]


def _own_fidelity(spec: RunSpec) -> str:
    """The badge that the method's code has earned here, "" where the submission was made with other code."""
    try:
        cls = method_class(spec.method)
        return fidelity(cls) if code_hash(cls) == spec.code else ""
    except (KeyError, UserError):
        return ""
