from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.bench import BenchPlan, bench_method
from harness.bench.regressions import changes
from harness.bench.subject import Subject
from harness.bench.timing import Timing, timed
from harness.data.cards import find_card
from harness.errors import UserError
from harness.records.benchmark import Bench
from harness.tracking.tracker import BENCH, Tracker
from tests.report.site.test_numbers import Tables

Call = Callable[..., tuple[int, str, str]]


def test_document_table_store_and_comparison(harness: Call, tmp_path: Path) -> None:
    line = ("bench", "--methods", "random,deepmil", "--budget", "0.02", "--preset", "fast", "--out", str(tmp_path))
    code, stdout, stderr = harness(*line, "--json")
    assert code == 0, stderr
    document = json.loads(stdout)
    rows = {row["method"]: row for row in document["rows"]}
    assert rows.keys() == {"random", "deepmil"}
    mil = rows["deepmil"]
    assert mil["frames_per_second"] == pytest.approx(16 * mil["snippets_per_second"])
    assert mil["best_frames_per_second"] >= mil["frames_per_second"]
    assert 0 < mil["latency_ms"]["p50"] <= mil["latency_ms"]["p95"] <= mil["latency_ms"]["p99"]
    assert mil["streaming_ms"] > 0, "a snippet's score depends on nothing else"
    assert mil["flops"] > 2 * 256 * mil["parameters"] * 0.9
    assert mil["full_training_hours"] == pytest.approx(mil["step_seconds"] * mil["training_steps"] / 3600)
    assert rows["random"]["step_seconds"] is None
    for name, seconds in (
        ("pass_roofline", 4096 / mil["best_frames_per_second"] * mil["best_batch"]),
        ("step_roofline", mil["step_seconds"]),
    ):
        roof = mil[name]
        assert roof["seconds"] == pytest.approx(seconds)
        assert roof["attainable_seconds"] == max(roof["flops"] / roof["peak_flops"], roof["bytes"] / roof["bandwidth"])
        assert roof["share"] == roof["attainable_seconds"] / roof["seconds"]
    assert mil["pass_roofline"]["flops"] == mil["best_batch"] * mil["flops"]
    assert mil["step_roofline"]["flops"] > 2 * mil["trainable_parameters"] * 32
    assert rows["random"]["step_roofline"] is None
    (path,) = (tmp_path / "bench").glob("*.json")
    assert json.loads(path.read_text()) == {key: value for key, value in document.items() if key != "changes"}
    client = Tracker(None, tmp_path)._open()
    recorded = client.search_runs([client.get_experiment_by_name(BENCH).experiment_id])
    assert {run.data.tags["harness.bench"]: run.data.metrics["flops"] for run in recorded} == {
        name: row["flops"] for name, row in rows.items()
    }
    shares = {run.data.tags["harness.bench"]: run.data.metrics["pass_roofline.share"] for run in recorded}
    assert shares == {name: row["pass_roofline"]["share"] for name, row in rows.items()}
    assert Tracker(None, tmp_path).runs() == [], "a benchmark is no run of a leaderboard"
    page = tmp_path / "report" / "throughput.html"
    assert f"`harness report --out {tmp_path}` puts it on {page}" in stderr
    code, stdout, stderr = harness("report", "--out", str(tmp_path), "--formats", "html,md,csv,json,tex")
    assert code == 0, stderr
    assert f"wrote {page}" in stdout
    lines = Tables(page.read_text()).lines
    assert len(lines) == 2
    for line, row in zip(lines, document["rows"], strict=True):
        figures = Bench.model_validate(row)
        for cell in line.cells[1:]:
            name, _, share = cell.name.partition(".")
            value = getattr(figures, name)[share] if share else getattr(figures, name)
            assert cell.value == ("" if value is None else str(value)), cell
    (written,) = json.loads((tmp_path / "report" / "leaderboard.json").read_text())["throughput"]
    assert [
        {name: line[name] for name in row} for line, row in zip(written["rows"], document["rows"], strict=True)
    ] == (document["rows"])
    assert "throughput.html" in (tmp_path / "report" / "index.html").read_text()
    slow = json.loads(path.read_text())
    for row in slow["rows"]:
        row["frames_per_second"] /= 10
    (tmp_path / "slow.json").write_text(json.dumps(slow))
    code, stdout, _ = harness("bench", "--compare", str(path), "--compare", str(tmp_path / "slow.json"))
    assert code == 1
    assert "SLOWER deepmil frames_per_second: x0.10" in stdout
    code, stdout, _ = harness("bench", "--compare", str(path), "--compare", str(path))
    assert code == 0
    assert "0 slower" in stdout


def test_other_machines_and_settings_are_not_compared() -> None:
    row = {"method": "a", "preset": "fast", "device": "cpu", "threads": 1, "dim": 64, "frames_per_second": 10.0}
    one = {"machine": {"processor": "A"}, "rows": [row]}
    with pytest.raises(UserError, match="different machines"):
        changes(one, {"machine": {"processor": "B"}, "rows": [row]})
    with pytest.raises(UserError, match="share no method"):
        changes(one, {"machine": {"processor": "A"}, "rows": [{**row, "threads": 2}]})
    (change,) = changes(one, {"machine": {"processor": "A"}, "rows": [{**row, "frames_per_second": 9.5}]})
    assert (change.slower, change.ratio) == (False, 0.95)
    (change,) = changes(one, {"machine": {"processor": "A"}, "rows": [{**row, "frames_per_second": 8.0}]})
    assert change.slower


@pytest.mark.parametrize("method", ["vadclip", "hlnet"])
def test_reading_a_video_equals_the_harness(method: str) -> None:
    """In windows as well as whole."""
    from harness.data.bank import Item, Split
    from harness.training.predict import predict

    subject = Subject(method, find_card("demo"), 512, "fast", {}, None, "cpu")
    video = subject.features(1, 300)
    import numpy as np

    split = Split((Item("v", 0, 300),), np.zeros(1, dtype=np.int64), video[0].numpy(), 1.0, 14)
    expected, _ = predict(subject.method, split, find_card("demo").alignment)
    assert torch.allclose(subject.read(video)[0], torch.from_numpy(expected.scores), atol=1e-6)


def test_one_more_snippet_costs_what_its_score_depends_on() -> None:
    plan = BenchPlan(find_card("demo"), 512, preset="fast", budget=0.02, training=False)
    online, whole = (bench_method(name, plan) for name in ("clip-zeroshot", "hlnet"))
    assert (online.reading, whole.reading) == ("online", "whole")
    assert online.streaming_ms < online.long_latency_ms["p50"]
    assert whole.streaming_ms > 0.3 * whole.long_latency_ms["p50"], "ten minutes are read again"


def test_timing_leaves_out_the_warm_up() -> None:
    calls: list[int] = []
    timing = timed(lambda: calls.append(1), "cpu", least=7, budget=0)
    assert len(calls) in (1, 8)
    assert Timing((1.0, 2.0, 3.0)).median == 2
    assert Timing((1.0, 2.0, 3.0)).spread == pytest.approx(0.25)
    assert Timing(tuple(range(101))).percentile(0.95) == 95
    assert len(timing.seconds) in (1, 7)


@pytest.mark.parametrize("first", [9.0, 0.2])
def test_the_first_training_step_is_never_the_measure(first: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """It also pays for memory, and a long one was all that was measured of a large method."""
    slow_first = iter([first])
    monkeypatch.setattr(Subject, "train", lambda self, steps: [next(slow_first, 0.1) for _ in range(steps)])
    plan = BenchPlan(card=find_card("demo"), dim=64, preset="fast", budget=0.02)
    assert bench_method("deepmil", plan).step_seconds == 0.1
