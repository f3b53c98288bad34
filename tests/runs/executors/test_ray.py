"""The same matrix on Ray: the same bits, and a killed worker is started again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra harness-wsvad[ray]")

Run = Callable[..., tuple[int, dict, str]]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # Setting OMP_NUM_THREADS is what a task asks for itself.
    monkeypatch.setitem(os.environ, "RAY_AUTH_MODE", "disabled")


@pytest.mark.slow
def test_the_same_bits_where_a_worker_is_killed_and_where_a_rule_asks_who_holds_the_truth(
    run: Run, tmp_path: Path
) -> None:
    struck = tmp_path / "struck"
    arguments = ("--methods", "faulty", "--sweep", "faulty.fault=none,kill", "--set", "faulty.at=5")
    arguments = (*arguments, "--set", f"faulty.once={struck}", "--selection", "oracle")
    code, there, stderr = run(tmp_path / "ray", *arguments, "--executor", "ray")
    assert struck.exists(), stderr
    code, here, _ = run(tmp_path / "local", *arguments)
    assert code == 0
    theirs, ours = ({run["id"]: run for run in each["runs"]} for each in (there, here))
    assert theirs.keys() == ours.keys()
    assert {run["status"] for run in theirs.values()} == {"ok"}, f"a killed one is started again by Ray: {stderr}"
    for name, their in theirs.items():
        our = ours[name]
        assert Path(their["directory"]).parent == tmp_path / "ray"
        assert their["selected"] == our["selected"]
        assert their["selected"]["looks"] > 1
        assert their["metrics"] == our["metrics"]
        assert their["provenance"] == our["provenance"]
        for file in ("predictions.npz", "checkpoint.safetensors"):
            one, other = (Path(each["directory"]) / file for each in (our, their))
            assert one.exists() == other.exists()
            if one.exists():
                assert one.read_bytes() == other.read_bytes()
