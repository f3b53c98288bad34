"""A run's weights are a model that MLflow loads without a pickle, and that scores as `harness predict` does."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.bank import Bank
from harness.detect.scorer import load_scorer
from harness.io.atomic import write_json
from harness.records.run_directory import WEIGHTS
from harness.tracking.logged_model import write_model
from harness.tracking.tracker import Tracker
from tests.fakes import fake_result

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, demo: Bank, harness: Call) -> Path:
    """The directory of a run that kept weights, in a store."""
    out = tmp_path / "runs"
    code, _, stderr = harness("run", "--methods", "linear-probe", "--no-report", "--out", str(out))
    assert code == 0, stderr
    (record,) = out.glob("linear-probe-*/run.json")
    return record.parent


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """MLflow's loading of a model by the address of its store; pickles fail."""

    def load(store: str, model: str) -> Any:
        import mlflow

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("a pickle was read")

        with monkeypatch.context() as patch:
            for name in ("load", "loads", "Unpickler"):
                patch.setattr(pickle, name, refuse)
            patch.setenv("MLFLOW_TRACKING_URI", store)
            return mlflow.pyfunc.load_model(model)

    return load


def test_it_scores_as_the_harness_does(
    run: Path, demo: Bank, loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(None, run.parent)
    (tracked,) = tracker.runs()
    model = loaded(tracker.uri, f"runs:/{tracked.mlflow_id}/model")
    features = np.random.default_rng(1).normal(size=(37, 512)).astype(np.float32)
    expected = load_scorer(str(run), run.parent, print).score("video", features[:, None]).scores
    assert np.abs(model.predict(features) - expected).max() < 1e-6
    assert expected.std() > 0
    (inputs,), (outputs,) = model.metadata.signature.inputs, model.metadata.signature.outputs
    assert (inputs.shape, outputs.shape, inputs.type) == ((-1, 512), (-1,), np.dtype("float32"))
    assert model.predict(model.input_example).shape == (2,)
    with pytest.raises(Exception, match="shape"):
        model.predict(features[:, :5])
    (logged,) = tracker._open().search_logged_models([tracker._experiment("demo")])
    assert (logged.status, logged.source_run_id) == ("READY", tracked.mlflow_id)
    (auc,) = (metric for metric in logged.metrics if metric.key == "frame_auc")
    assert (auc.value, auc.dataset_name) == (tracked.result.metrics["frame_auc"], "demo/test")
    place = Path(logged.artifact_location.removeprefix("file://"))
    assert (place / "artifacts" / WEIGHTS).stat().st_ino == (run / WEIGHTS).stat().st_ino, "weights lie there once"
    assert not list(Path(tracked.artifacts.removeprefix("file://")).rglob(WEIGHTS))
    assert [path.name for path in place.rglob("*") if path.suffix in (".pkl", ".py")] == []
    # The data set need not be known where the model is used, nor the store be where it was.
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "nothing here"))
    moved = Tracker(None, run.parent.rename(tmp_path / "moved"))
    shutil.rmtree(tmp_path / "moved" / run.name)
    moved.prepare()
    again = loaded(moved.uri, f"models:/{logged.model_id}")
    assert np.array_equal(again.predict(features), model.predict(features))


def test_the_model_goes_with_its_run(run: Path) -> None:
    tracker = Tracker(None, run.parent)
    document = json.loads((run / "run.json").read_text())
    write_json(run / "run.json", {k: v for k, v in document.items() if k not in ("digest", "files")} | {"videos": 7})
    assert tracker.sync() == []
    client, experiment = tracker._open(), tracker._experiment("demo")
    (model,) = client.search_logged_models([experiment])
    assert model.source_run_id == tracker.runs()[0].mlflow_id
    assert [path.name for path in (run.parent / "mlartifacts/demo/models").iterdir()] == [model.model_id]


def test_crops_are_an_axis(tmp_path: Path) -> None:
    result = fake_result()
    assert result.data is not None
    result = result.model_copy(update={"data": result.data.model_copy(update={"crops": 10, "dim": 8})})
    (tmp_path / "run").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "run" / WEIGHTS).write_bytes(b"weights")
    write_model(tmp_path / "model", result, tmp_path / "run", "r", "m")
    import mlflow

    model = mlflow.models.Model.load(str(tmp_path / "model"))
    (inputs,) = model.signature.inputs
    assert inputs.shape == (-1, -1, 8)
    assert np.shape(model.load_input_example(str(tmp_path / "model"))) == (1, 2, 8)
