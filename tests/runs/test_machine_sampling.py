"""What a machine is busy with: sampled meanwhile, thinned out in long runs, kept with the run where it is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.bank import Bank
from harness.errors import UserError
from harness.records.system_metrics import FILE, SystemMetrics, read_system_metrics
from harness.runs import machine_sampling
from harness.runs.machine_sampling import Sampler, sampled

Call = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc")
SMI = """#!/bin/sh
echo "37, 1000, 4000, 70.5, 100.0"
echo "0, 0, 4000, 20.0, 100.0"
"""


def test_names_units_and_thinning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sampler, began = Sampler(tmp_path, interval=0.01, most=8), 1000 * time.time()
    sampler.start()
    while sampler._interval < 0.04:
        time.sleep(0.01)
    found = sampler.stop()
    assert 4 <= len(found.times) <= 8
    assert list(found.times) == sorted(found.times)
    assert began - 1 <= found.times[0] <= found.times[-1] <= 1000 * time.time()
    assert {name for name in found.values if "percentage" in name} >= {
        *("system_memory_usage_percentage", "disk_usage_percentage", "gpu_0_utilization_percentage"),
    }
    assert all(0 <= value <= 100 for name, of_it in found.values.items() if "percentage" in name for value in of_it)
    assert set(found.values["gpu_0_memory_usage_percentage"]) == {25.0}
    assert set(found.values["gpu_1_power_usage_watts"]) == {20.0}
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    used = found.values["system_memory_usage_megabytes"][-1]
    assert used / total * 100 == pytest.approx(found.values["system_memory_usage_percentage"][-1], rel=0.05)


def test_a_busy_processor_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([(0, 0), (30, 40), (30, 80)])
    monkeypatch.setattr(machine_sampling, "_busy", lambda: next(ticks, (30, 80)))
    sampler = Sampler(tmp_path, interval=0.01)
    sampler._sample((0, 0), (30, 40), (0, 0))
    sampler._sample((30, 40), (30, 80), (0, 0))
    sampler.start()
    assert sampler.stop().values.get("cpu_utilization_percentage", (75.0, 0.0))[:2] == (75.0, 0.0)


def test_a_run_that_fails_leaves_nothing_and_hides_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sampled(tmp_path / "run" / "computed"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_only_where_it_is_asked_for(tmp_path: Path, demo: Bank, harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_sampling, "FIRST", 0.0)
    for index, options in enumerate(((), ("--system-metrics",))):
        out = tmp_path / str(index)
        code, stdout, stderr = harness("run", "--methods", "random", "--no-report", "--out", str(out), *options)
        assert code == 0, stderr
        (run,) = (path.parent for path in out.glob("random-*/run.json"))
        assert (run / FILE).exists() == bool(options)
        assert stdout.count("runs in MLflow: mlflow ui --backend-store-uri sqlite:///") == 1
    assert "disk_available_megabytes" in read_system_metrics(run / FILE).values


def test_what_cannot_be_sampled_is_refused(monkeypatch: pytest.MonkeyPatch, harness: Call, demo: Bank) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != Path("/proc/stat") and exists(path))
    code, _, stderr = harness("run", "--methods", "random", "--system-metrics")
    assert (code, stderr.count("\n")) == (2, 1)
    assert "--system-metrics" in stderr


@pytest.mark.parametrize("text", ["{}", '{"times": [1], "values": {"cpu": [1, 2]}}', '{"times": ["x"], "values": {}}'])
def test_a_damaged_file_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match="expected samples"):
        read_system_metrics(tmp_path / FILE)
    assert SystemMetrics(times=(1,), values={"cpu": (1.0,)}).times == (1,)
