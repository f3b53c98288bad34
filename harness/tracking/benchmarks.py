"""Benchmarks that a store holds, read back: each MLflow run of `Tracker.record_bench` has its document beside it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.records.benchmark import Bench, BenchDocument
from harness.tracking.recorded_runs import Recorded
from harness.tracking.tracker import BENCH

TAG, NAME = "harness.bench", "mlflow.runName"


@dataclass(frozen=True)
class Benchmark:
    """One method's figures, and where and when they were measured; `started` in milliseconds since 1970.

    `source` names the store, "" where there is only one.
    """

    figures: Bench
    machine: dict[str, str]
    dataset: str
    features: str
    time: str
    started: int
    source: str = ""


def recorded(store: Recorded) -> tuple[list[Benchmark], list[str]]:
    """Return the benchmarks of a store, the oldest first, and one line for each that cannot be read.

    Raises:
        TrackingError: the store cannot be reached.
    """
    found, problems = list[Benchmark](), list[str]()
    # The methods of one call have the same document.
    parsed: dict[bytes, BenchDocument] = {}
    for run in store.noted(BENCH, (TAG, NAME)):
        method, name = run.tags[TAG], run.tags.get(NAME, "")
        try:
            place = store.file(run.id, run.artifacts, f"{name.removeprefix(f'{method}-')}.json", f"benchmark {name}")
            text = place.read_bytes()
            document = parsed[text] if text in parsed else BenchDocument.model_validate_json(text)
            parsed[text] = document
            figures = next(row for row in document.rows if row.method == method)
        except (HarnessError, OSError, ValidationError, StopIteration) as error:
            reason = " ".join(str(error).split())[:200] or f"its document has no row of {method}"
            problems.append(f"benchmark {name} is left out: {reason}")
            continue
        facts = (document.dataset, document.features, document.time)
        found.append(Benchmark(figures, document.machine, *facts, run.started))
    return found, problems
