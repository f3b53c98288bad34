"""Several processes write to one fresh store; a server goes away in between; nothing is lost or doubled.

HARNESS_SCALE=1 has 8 processes write 200 runs and takes the server away for a minute.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.tracking.description import PARENT_RUN
from harness.tracking.families import FAMILY, PARENT
from harness.tracking.format import RUN_ID
from harness.tracking.tracker import Tracker

ROOT = Path(__file__).resolve().parents[2]
WRITERS, EACH, AWAY = (8, 25, 60) if os.environ.get("HARNESS_SCALE") else (2, 3, 4)


def _writers(out: Path, uri: str = "") -> list[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    line = [sys.executable, str(Path(__file__).with_name("writer.py")), str(out)]
    end = [uri] if uri else []
    return [
        subprocess.Popen([*line, str(i * EACH), str(EACH), *end], text=True, stderr=subprocess.PIPE, env=environment)
        for i in range(WRITERS)
    ]


def _check(tracker: Tracker) -> None:
    """Every run is there once, with all its points."""
    runs = tracker.runs()
    assert sorted(run.result.seed for run in runs) == list(range(WRITERS * EACH))
    client = tracker._open()
    experiments = [e.experiment_id for e in client.search_experiments()]
    everything = client.search_runs(experiments, f"tags.`{RUN_ID}` != ''", max_results=1000)
    assert Counter(run.info.status for run in everything) == {"FINISHED": WRITERS * EACH}
    _check_families(client, experiments, everything)
    models = client.search_logged_models(experiments, max_results=50)
    assert {model.source_run_id for model in models} <= {run.info.run_id for run in everything}
    assert {str(model.status) for model in models} == {"READY"}
    assert len(models) == min(len(runs), 50)
    for run in runs[:: max(len(runs) // 10, 1)]:
        assert len(run.result.metrics) > 10
        assert len(client.get_metric_history(run.mlflow_id, "train/mil")) == 30
        assert tracker.artifact(run, "predictions.npz").is_file()


def _check_families(client: Any, experiments: list[str], everything: list[Any]) -> None:
    """One parent for each family, with the mean of its runs; each run read the test and training split."""
    parents = client.search_runs(experiments, f"tags.`{PARENT}` != ''", max_results=1000)
    assert len({run.data.tags[FAMILY] for run in parents}) == len(parents) == 3, "one for each data set"
    for parent in parents:
        own = [run for run in everything if run.data.tags[PARENT_RUN] == parent.info.run_id]
        assert parent.data.metrics["seeds"] == len(own) == WRITERS * EACH // 3
        mean = statistics.fmean(run.data.metrics["frame_auc"] for run in own)
        assert parent.data.metrics["frame_auc"] == pytest.approx(mean, abs=1e-12)
    for run in everything:
        assert {entry.tags[0].value for entry in run.inputs.dataset_inputs} == {"training", "testing"}
        assert run.info.end_time - run.info.start_time == 60_000


def test_several_processes_meet_a_fresh_sqlite_store(tmp_path: Path) -> None:
    for writer in _writers(tmp_path):
        _, stderr = writer.communicate(timeout=600)
        assert writer.returncode == 0, stderr
        assert "error" not in stderr.lower(), stderr
    _check(Tracker(None, tmp_path))


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL server of its own; its address."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries or not shutil.which("setpriv"):
        pytest.skip("needs PostgreSQL (Debian package postgresql)")
    pytest.importorskip("psycopg")
    place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    # PostgreSQL refuses to run as root.
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if user:
        shutil.chown(place, "postgres", "postgres")
    port, data = _free_port(), place / "data"
    control = [*user, str(binaries[-1] / "pg_ctl"), "-D", str(data)]
    init = [*user, str(binaries[-1] / "initdb"), "-D", str(data), "-U", "harness", "-A", "trust", "--no-sync"]
    subprocess.run(init, check=True, capture_output=True, cwd=place)
    options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([*control, "-w", "-l", str(place / "log"), "-o", options, "start"], check=True, cwd=place)
    try:
        yield f"postgresql://harness@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd=place)
        shutil.rmtree(place, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _server(store: str, files: Path, port: int) -> Iterator[None]:
    line = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    line += ["--artifacts-destination", str(files), "--workers", "1", "--host", "127.0.0.1"]
    # No jobs, for which it starts eight more processes that each import MLflow.
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = (files.parent / "server.log").open("a")
    process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True, env=environment)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            assert process.poll() is None, Path(log.name).read_text()[-2000:]
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(timeout=30)
        log.close()


@pytest.mark.slow
def test_a_server_that_goes_away_loses_nothing(postgres: str, tmp_path: Path) -> None:
    out, files, port = tmp_path / "runs", tmp_path / "files", _free_port()
    files.mkdir()
    uri = f"http://127.0.0.1:{port}"
    with _server(postgres, files, port):
        writers = _writers(out, uri)
        while not list(out.glob("*/run.json")):
            time.sleep(0.2)
        time.sleep(AWAY / 4)
    time.sleep(AWAY)
    with _server(postgres, files, port):
        for writer in writers:
            _, stderr = writer.communicate(timeout=900)
            assert writer.returncode == 0, stderr
        _check(Tracker(uri, tmp_path / "reader"))
