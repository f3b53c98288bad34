"""A site of two boards, built once: four methods, two seeds, an oracle row, and names that try to break pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.records.result import RunResult
from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.build import build_leaderboard
from harness.report.write import FORMATS, write_report
from harness.tracking.benchmarks import Benchmark
from harness.tracking.tracker import TrackedRun
from tests.fakes import fake_bench, fake_benchmark, fake_result, fake_run

HOSTILE = "</script><img src=x onerror=alert(1)>|`*\"'{{ 7*7 }} 方法 " + "long" * 40
CLASSES = ("Normal", "<!--<script>alert(2)", "Road & Rail", "Взрыв")


@dataclass(frozen=True)
class Site:
    """The written report, what it was made from, and the run directories by run id."""

    directory: Path
    leaderboard: Leaderboard
    runs: dict[str, Path]

    def text(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8")

    @property
    def pages(self) -> list[Path]:
        return sorted(self.directory.rglob("*.html"))


def benchmarks() -> list[Benchmark]:
    """Methods of the site on a processor and on a GPU, with the settings of its rows, and one of a hostile name."""
    config = {"lr": 1e-4, "layers": {"depth": 2}}
    found = [
        fake_benchmark(fake_bench(method, frames, settings=config), started=number)
        for number, (method, frames) in enumerate((("deepmil", 2e6), ("rtfm", 1.95e6), ("vadclip", 3.21e5)))
    ]
    found.append(fake_benchmark(fake_bench("deepmil", 8.5e7, device="cuda"), gpu="Test GPU", started=8))
    found.append(fake_benchmark(fake_bench(HOSTILE, 77.0, settings={"x": HOSTILE}), processor=HOSTILE, started=9))
    return found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    out = tmp_path_factory.mktemp("site")
    made: list[tuple[RunResult, Path]] = []

    def run(method: str, dataset: str, seed: int, selection: str = "last") -> None:
        fields = {"dataset": dataset, "seed": seed, "selection": selection, "excluded": ("gone_1", "gone_2")}
        result = fake_run(out / "runs", method=method, classes=CLASSES, classify=True, **fields)  # type: ignore[arg-type]
        made.append((result, out / "runs" / result.id))

    for seed in (0, 1):
        for method in ("deepmil", "vadclip", "rtfm"):
            for dataset in ("toy", "ucf-crime"):
                run(method, dataset, seed)
        run("vadclip", "toy", seed, "oracle")
    # A hostile name cannot be a directory's, so it is put in afterwards.
    base = fake_run(
        out / "hostile", method="x", dataset="toy", classes=CLASSES, classify=True, excluded=("gone_1", "gone_2")
    )
    assert base.spec is not None
    spec = base.spec.model_copy(update={"method": HOSTILE, "config": {"x": HOSTILE}})
    hostile = base.model_copy(update={"method": HOSTILE, "spec": spec, "id": f"{HOSTILE}-toy-s0"})
    made.append((hostile, out / "hostile" / base.id))
    runs = [TrackedRun(f"id{index}", str(place), index, result) for index, (result, place) in enumerate(made)]
    failed = fake_result(seed=5).model_copy(
        update={"status": "failed", "error": HOSTILE, "log": f"line one\n{HOSTILE}"}
    )

    def artifact(run: TrackedRun, name: str) -> Path:
        return Path(run.artifacts) / name

    notes = {"toy": "Generated data, not a benchmark."}
    failures = [TrackedRun("f", "", 99, failed)]
    leaderboard = build_leaderboard(runs, failures, artifact, notes, benchmarks=benchmarks())
    paths = write_report(leaderboard, artifact, out / "report", FORMATS)
    tables = ["leaderboard.md", "leaderboard.csv", "throughput.csv", "leaderboard.json", "leaderboard.tex"]
    assert [path.name for path in paths] == ["index.html", "throughput.html", *tables]
    return Site(out / "report", leaderboard, {result.id: place for result, place in made})
