"""Benchmarks are read back from the store as they were recorded, also those of earlier versions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.report.sources import joined
from harness.tracking.benchmarks import recorded
from harness.tracking.client import searched
from harness.tracking.tracker import BENCH, Tracker
from tests.fakes import fake_bench

# What the first version did not record.
LATER = ("precision", "settings", "reading", "text_tower", "streaming_ms")


def record(out: Path, time: str, rows: list[dict[str, object]]) -> dict[str, object]:
    machine = {"processor": "Test CPU", "gpu": "", "cores": "2"}
    document = {"rows": rows, "machine": machine, "dataset": "toy", "features": "clip", "time": time}
    path = out / "bench" / f"{time}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    Tracker(None, out).record_bench(document, path)
    return document


@pytest.fixture
def out(tmp_path: Path, empty_store: Path) -> Path:
    place = tmp_path / "runs"
    place.mkdir()
    shutil.copy(empty_store, place / "mlflow.db")
    return place


def test_they_come_back_as_they_were(out: Path) -> None:
    new = [fake_bench(name, settings={"layers": 3}) for name in ("alpha", "with-dash-20261129")]
    record(out, "20261129-010203", [each.as_json() for each in new])
    old = {name: value for name, value in fake_bench("beta").as_json().items() if name not in LATER}
    record(out, "20250101-000000", [{**old, "of_a_later_version": 1}])
    found, problems = recorded(Tracker(None, out))
    assert problems == []
    assert sorted((each.figures.method, each.time) for each in found) == [
        ("alpha", "20261129-010203"),
        ("beta", "20250101-000000"),
        ("with-dash-20261129", "20261129-010203"),
    ]
    by_method = {each.figures.method: each for each in found}
    assert [by_method[each.method].figures for each in new] == new
    assert by_method["beta"].figures == fake_bench("beta", reading="", streaming_ms=None)
    assert {(each.machine["processor"], each.dataset, each.features) for each in found} == {("Test CPU", "toy", "clip")}
    # A server is asked through MLflow itself.
    tags = ("harness.bench", "mlflow.runName")
    asked = searched(Tracker(None, out)._open(), "FINISHED", tags, [BENCH])
    assert {run.id: run.tags for run in asked} == {run.id: run.tags for run in Tracker(None, out).noted(BENCH, tags)}


def test_what_cannot_be_read_is_left_out_with_a_line(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"), joined(Tracker(None, out)):
        pass
    record(out, "20261129-010203", [fake_bench(name).as_json() for name in ("alpha", "beta", "gamma")])
    gone, damaged, _ = sorted(out.glob("mlartifacts/bench/*/artifacts/*.json"))
    gone.unlink()
    damaged.write_text("{")
    found, problems = recorded(Tracker(None, out))
    assert len(found) == 1
    assert len(problems) == 2
    assert all(line.startswith("benchmark ") and " is left out: " in line for line in problems)
    assert any("no such file" in line for line in problems)
    with joined(Tracker(None, out)) as sources:
        assert (sources.runs, sources.notices) == ((), tuple(problems))
    other = tmp_path / "other"
    shutil.copytree(out, other)
    with joined(Tracker(None, out), [str(other)]) as sources:
        assert [each.source for each in sources.benchmarks] == ["runs", "other"]
