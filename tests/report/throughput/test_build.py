"""Throughput boards: only what was measured on the same hardware in the same way is ranked, and noise ranks nothing."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest

from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.build import build_leaderboard
from harness.report.site.pareto import Point, front, pareto_plot
from harness.report.site.render import row_names
from harness.report.throughput import paces
from harness.report.throughput.build import build_throughput
from harness.report.throughput.tables import comma_separated, markdown
from harness.tracking.benchmarks import Benchmark
from tests.fakes import fake_bench, fake_benchmark, fake_run
from tests.report.leaderboard.test_build import tracked

CONFIG = {"lr": 1e-4, "layers": {"depth": 2}}


def test_the_newest_measurement_of_a_method_counts() -> None:
    old, new = (fake_benchmark(fake_bench(frames=frames), started) for started, frames in ((1, 5e5), (2, 7e5)))
    (board,) = build_throughput([new, old])
    assert [row.figures.frames_per_second for row in board.rows] == [7e5]
    other = fake_benchmark(fake_bench(frames=9e5, settings={"layers": 9}), 3)
    (board,) = build_throughput([new, old, other])
    assert [row.settings for row in board.rows] == ["layers=9", ""], "other settings are another row"


@pytest.mark.parametrize(
    "other",
    [
        fake_benchmark(fake_bench("beta"), processor="Another CPU"),
        fake_benchmark(fake_bench("beta", device="cuda"), gpu="Test GPU"),
        fake_benchmark(fake_bench("beta", precision="bf16")),
        fake_benchmark(fake_bench("beta", threads=2)),
        fake_benchmark(fake_bench("beta", dim=1024)),
        fake_benchmark(fake_bench("beta", preset="paper")),
        fake_benchmark(fake_bench("beta"), dataset="other"),
        fake_benchmark(fake_bench("beta"), features="i3d"),
    ],
)
def test_other_hardware_and_ways_of_measuring_are_other_tables(other: Benchmark) -> None:
    boards = build_throughput([fake_benchmark(fake_bench()), other])
    assert [[row.rank for row in board.rows] for board in boards] == [[1], [1]]
    assert len({(board.machine, board.subject) for board in boards}) == 2, "and their titles tell them apart"


def test_rows_within_noise_share_a_rank() -> None:
    speeds = {"a": 1e6, "b": 9.2e5, "c": 9.0e5, "d": 5e5}
    (board,) = build_throughput([fake_benchmark(fake_bench(name, frames)) for name, frames in speeds.items()])
    assert [(row.method, row.rank, row.shared) for row in board.rows] == [
        *(("a", 1, True), ("b", 1, True), ("c", 3, False), ("d", 4, False)),
    ]
    noisy = [fake_benchmark(fake_bench(name, frames, spread=0.3)) for name, frames in speeds.items()]
    assert [row.rank for row in build_throughput(noisy)[0].rows] == [1, 1, 1, 4]


def test_hardware_without_a_name_ranks_nothing_and_versions_are_said() -> None:
    (board,) = build_throughput([fake_benchmark(fake_bench(name), processor="") for name in "ab"])
    assert [row.rank for row in board.rows] == [None, None]
    assert "no name" in board.cautions[0]
    one, other = (fake_benchmark(fake_bench(name)) for name in "ab")
    other = dataclasses.replace(other, machine={**other.machine, "torch": "2.0"})
    assert build_throughput([one, other])[0].cautions == ("Measured with different versions of torch: 2.0, 2.13.0.",)


def test_every_table_holds_the_figures_of_the_benchmark() -> None:
    benchmarks = [fake_benchmark(fake_bench(name, frames)) for name, frames in (("a", 1.23e6), ("b", 4.56e4))]
    boards = build_throughput(benchmarks)
    written = json.loads(json.dumps(Leaderboard((), throughput=boards).to_dict(), allow_nan=False))["throughput"]
    lines = list(csv.DictReader(io.StringIO(comma_separated(boards))))
    text = "\n".join(markdown(boards))
    for row, line, document in zip(boards[0].rows, lines, written[0]["rows"], strict=True):
        figures = row.figures
        assert {name: document[name] for name in figures.as_json()} == figures.as_json()
        assert (line["rank"], line["shared"], line["method"]) == (str(row.rank), str(row.shared), row.method)
        for name in ("frames_per_second", "streaming_ms", "peak_memory_mb", "flops", "parameters", "exponent"):
            assert float(line[name]) == getattr(figures, name)
        assert [float(line[f"long_latency_ms_{share}"]) for share in ("p50", "p99")] == [
            *(figures.long_latency_ms[share] for share in ("p50", "p99")),
        ]
        assert {length: float(line[f"seconds_at_{length}"]) for length in figures.growth} == figures.growth
    assert "| a | 1 | 1.23M ± 1% | 2.09M (8) |" in text
    assert "Test CPU (2 cores), cpu, fp32, 1 thread" in text
    assert (markdown([]), build_throughput([])) == ([], ())


def board_with(out: Path, *benchmarks: Benchmark) -> Leaderboard:
    results = [fake_run(out, method=method, seed=seed) for method in ("alpha", "beta", "gamma") for seed in (0, 1)]
    return build_leaderboard(tracked(results), [], lambda run, name: out / run.result.id / name, benchmarks=benchmarks)


def test_an_accuracy_board_takes_its_speeds_from_one_hardware(tmp_path: Path) -> None:
    few = fake_benchmark(fake_bench("alpha", 9e7, settings=CONFIG, device="cuda"), gpu="Test GPU")
    many = [fake_benchmark(fake_bench(name, 1e6 + n, settings=CONFIG)) for n, name in enumerate(("alpha", "beta"))]
    unfit = [
        fake_benchmark(fake_bench("gamma")),  # of other settings
        fake_benchmark(fake_bench("gamma", settings=CONFIG, preset="paper")),
        fake_benchmark(fake_bench("gamma", settings=CONFIG), dataset="other"),
        *(fake_benchmark(fake_bench(name, settings=CONFIG), processor="") for name in ("alpha", "beta", "gamma")),
    ]
    (board,) = board_with(tmp_path, few, *many, *unfit).boards
    found = {row.method: row.pace for row in board.rows}
    assert {name: (pace.measured, pace.frames_per_second) for name, pace in found.items() if pace} == {
        "alpha": ("bench", 1e6),
        "beta": ("bench", 1e6 + 1),
        "gamma": ("test pass", 16000.0),
    }
    said = paces.words(board)
    assert "on Test CPU (2 cores), cpu, fp32, 1 thread" in said
    assert "test pass: the runs' own test passes, on unnamed hardware, cpu, fp32, 1 thread" in said
    plot = pareto_plot(board, row_names(board))
    assert plot is not None
    assert sorted(label.name for label in plot.labels) == ["alpha", "beta", "gamma"]
    assert {series.name: series.kind for series in plot.series}["gamma"] == "hollow"
    assert all(series.spans for series in plot.series if series.key is not None)
    best = {label.name for label in plot.labels if label.strong}
    assert best <= {"alpha", "beta"}, "what is known from a test pass alone stands on no front"


def test_the_front_is_what_no_other_point_beats() -> None:
    def point(key: int, speed: float, value: float) -> Point:
        return Point(key, str(key), speed, value, None, None)  # type: ignore[arg-type]

    points = [
        point(0, 10, 80),
        point(1, 100, 70),
        point(2, 100, 60),
        point(3, 5, 79),
        point(4, 1, 90),
        point(5, 10, 80),
    ]
    assert [each.key for each in front(points)] == [1, 0, 5, 4]
