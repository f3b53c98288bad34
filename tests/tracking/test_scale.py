"""The benchmarks' store of many runs is one as our own code writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.tracking.client import pages
from harness.tracking.description import PARENT_RUN
from harness.tracking.format import RUN_ID
from harness.tracking.tracker import Tracker
from tests.benchmarks.big_store import make

# What is not written in bulk: who wrote, and the runs above seeds.
_OWN = ("mlflow.user", PARENT_RUN)


def _rows(tracker: Tracker) -> dict[str, Any]:
    client = tracker._open()
    experiments = {e.experiment_id: e.name for e in client.search_experiments()}
    return {
        run.info.run_name: (
            experiments[run.info.experiment_id],
            run.info.status,
            run.info.artifact_uri.endswith(f"/{run.info.run_id}/artifacts"),
            run.data.metrics,
            run.data.params,
            {key: value for key, value in run.data.tags.items() if key not in _OWN},
            (run.info.start_time, run.info.end_time),
            client.get_metric_history(run.info.run_id, "train/mil")[-1].step,
        )
        for run in pages(client, list(experiments), f"tags.`{RUN_ID}` != ''")
    }


def test_rows_in_bulk_are_those_of_recording(tmp_path: Path) -> None:
    make(tmp_path / "bulk", 7)
    recorded = Tracker(None, tmp_path / "bulk")
    expected = Tracker(None, tmp_path / "one by one")
    assert expected.sync(tmp_path / "bulk") == []
    assert _rows(recorded) == _rows(expected)
    assert recorded.sync() == []
    assert [recorded.artifact(run, "predictions.npz").is_file() for run in recorded.runs()] == [True] * 7
