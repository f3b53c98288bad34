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
def test_the_same_bits_and_a_killed_worker_is_started_again(run: Run, tmp_path: Path) -> None:
    struck = tmp_path / "struck"
    arguments = ("--methods", "faulty,linear-probe", "--sweep", "faulty.fault=none,kill", "--set", "faulty.at=5")
    arguments = (*arguments, "--set", f"faulty.once={struck}")
    code, there, stderr = run(tmp_path / "ray", *arguments, "--executor", "ray")
    assert struck.exists(), stderr
    code, here, _ = run(tmp_path / "local", *arguments)
    assert code == 0
    theirs, ours = ({run["id"]: Path(run["directory"]) for run in each["runs"]} for each in (there, here))
    assert theirs.keys() == ours.keys()
    fates = {run["spec"]["config"].get("fault"): run["status"] for run in there["runs"]}
    assert fates[None] == fates["none"] == "ok", stderr
    assert fates["kill"] == "ok", "started again by Ray"
    for name, directory in theirs.items():
        assert directory.parent == tmp_path / "ray"
        for file in ("predictions.npz", "checkpoint.safetensors"):
            assert (directory / file).exists() == (ours[name] / file).exists()
            if (directory / file).exists():
                assert (directory / file).read_bytes() == (ours[name] / file).read_bytes()


def test_a_rule_that_looks_at_the_test_set_asks_who_holds_the_truth(run: Run, tmp_path: Path) -> None:
    arguments = ("--methods", "faulty", "--selection", "oracle", "--set", "faulty.epochs=2")
    code, there, stderr = run(tmp_path / "ray", *arguments, "--executor", "ray")
    assert code == 0, stderr
    code, here, _ = run(tmp_path / "local", *arguments)
    assert code == 0
    (theirs,), (ours,) = there["runs"], here["runs"]
    assert theirs["selected"] == ours["selected"]
    assert theirs["selected"]["looks"] == 2
    assert (theirs["id"], theirs["metrics"]) == (ours["id"], ours["metrics"])
    assert theirs["provenance"] == ours["provenance"]
