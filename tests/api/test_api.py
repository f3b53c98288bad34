"""What `import harness` offers: the same numbers as the command line, as Python objects."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import harness
from harness.data.cards import find_card, open_bank

SCRIPT = """
import harness
short = {"deepmil": {"epochs": 2, "steps_per_epoch": 4}}
board = harness.run(["deepmil", "linear-probe"], seeds=range(2), settings=short, out="runs")
print(board.to_frame().to_json(orient="records", double_precision=15))
"""


@pytest.fixture(scope="module")
def home(demo_home: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(demo_home))
        yield demo_home


@pytest.fixture(scope="module")
def made(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """Runs made by a script that has no `if __name__ == "__main__"`, and its board."""
    place = tmp_path_factory.mktemp("api")
    (place / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return place / "runs", json.loads(done.stdout)


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, harness; print([name for name in ('torch', 'pandas', 'numpy', 'mlflow') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = harness.nothing  # type: ignore[attr-defined]


def test_the_board_of_a_run(made: tuple[Path, list[dict]]) -> None:
    directory, rows = made
    assert {row["method"] for row in rows} == {"deepmil", "linear-probe"}
    assert all(row["seeds"] == "0 1" and row["claim"] == "method" for row in rows)
    # The same call finds everything finished, and gives the same board here.
    board = harness.run(
        "deepmil,linear-probe", seeds=[0, 1], settings={"deepmil": {"epochs": 2, "steps_per_epoch": 4}}, out=directory
    )
    again = json.loads(board.to_frame().to_json(orient="records", double_precision=15))
    assert again == rows
    assert "deepmil" in board._repr_html_()


def test_a_failed_run_is_warned_of_and_on_the_board(home: Path, tmp_path: Path) -> None:
    with pytest.raises(harness.UserError, match="no-such"):
        harness.run("no-such", out=tmp_path)
    with pytest.warns(RuntimeWarning, match="deepmil seed 0: "):
        board = harness.run("random,deepmil", settings={"deepmil": {"lr": 1e30}}, out=tmp_path)
    assert [failure.method for failure in board.failures] == ["deepmil"]
    assert board.to_frame()["method"].tolist() == ["random"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"selection": "best"}, "run: selection.0: "),
        ({"seeds": "0,1"}, "run: seeds.1: "),
        ({"settings": {"random": 3}}, "run: set.random: "),
        ({"device": "tpu"}, "--device 'tpu': expected cpu or cuda"),
        ({"jobs": 0}, "--jobs 0: expected at least 1"),
    ],
)
def test_wrong_arguments_are_one_line(home: Path, tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(harness.UserError) as raised:
        harness.run("random", out=tmp_path, **arguments)
    assert str(raised.value).startswith(words)
    assert not list(tmp_path.iterdir())


def test_runs(made: tuple[Path, list[dict]]) -> None:
    directory, rows = made
    runs = harness.load_runs(directory)
    frame = runs.to_frame()
    assert len(runs) == len(frame) == 4
    for row in rows:
        mean = frame.loc[frame.method == row["method"], "frame_auc"].mean()
        assert mean == pytest.approx(row["frame_auc"], abs=1e-12)
    trained = next(run for run in runs if run.method == "deepmil")
    facts = (trained.id, trained.method, trained.dataset, trained.seed)
    assert facts == (trained.directory.name, "deepmil", "demo", trained.result.seed)
    assert trained.history["epoch"].tolist() == [1, 2]
    assert np.isfinite(trained.history["loss"]).all()
    video = trained.predictions.videos[3]
    assert len(trained.predictions[video]) == trained.predictions.offsets[4] - trained.predictions.offsets[3]
    with pytest.raises(KeyError):
        trained.predictions["no video"]
    assert len(harness.load_runs(trained.directory)) == 1
    with pytest.raises(harness.UserError, match="no such directory"):
        harness.load_runs(directory / "none")


def test_a_damaged_run_is_warned_of(made: tuple[Path, list[dict]], tmp_path: Path) -> None:
    directory, _ = made
    whole = (harness.load_runs(directory)[0].directory / "run.json").read_text()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/run.json").write_text(whole.replace('"seed": 0', '"seed": 7').replace('"seed": 1', '"seed": 7'))
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert len(harness.load_runs(tmp_path)) == 0


def test_comparison(made: tuple[Path, list[dict]], tmp_path: Path) -> None:
    directory, rows = made
    found = harness.compare("deepmil", "linear-probe", resamples=200, out=directory)
    frame = found.to_frame().set_index("metric")
    mean = {row["method"]: row["frame_auc"] for row in rows}
    assert frame.loc["frame_auc", "difference"] == pytest.approx(mean["deepmil"] - mean["linear-probe"], abs=1e-12)
    assert (frame["low"] <= frame["difference"]).all()
    assert (frame["difference"] <= frame["high"]).all()
    found.write_page(tmp_path / "page.html")
    assert "linear-probe" in (tmp_path / "page.html").read_text()
    with pytest.raises(harness.UserError, match="two or more"):
        harness.compare("deepmil", out=directory)


def test_scores_from_a_file_a_frame_and_arrays_agree(made: tuple[Path, list[dict]], tmp_path: Path) -> None:
    run = harness.load_runs(made[0])[0]
    arrays = {video: run.predictions[video] for video in run.predictions.videos}
    rows = [(video, score) for video, scores in arrays.items() for score in scores]
    frame = pd.DataFrame(rows, columns=["video_id", "pred"])
    for given in (run.directory / "predictions.npz", arrays, frame):
        found = harness.score(given, dataset="demo")
        assert found.metrics == pytest.approx({name: run.metrics[name] for name in found.metrics}, abs=1e-12)
    table = found.to_frame().set_index("metric")
    assert table.loc["frame_auc", "low"] < table.loc["frame_auc", "value"] < table.loc["frame_auc", "high"]
    own = harness.score(pd.DataFrame({"video": ["a", "a", "b"], "score": [0.1, 0.9, 0.2], "gt": [0, 1, 0]}))
    assert own.metrics["frame_auc"] == 1.0


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({}, "no video"),
        ({"a": [0.1, float("nan")]}, "scores of 'a'"),
        ({"a": [[0.1]]}, "scores of 'a'"),
        (pd.DataFrame({"video": ["a"]}), "no column pred or score"),
    ],
)
def test_wrong_scores(home: Path, scores: object, words: str) -> None:
    with pytest.raises(harness.UserError, match=words):
        harness.score(scores, dataset="demo")  # type: ignore[arg-type]


def test_a_checkpoint_scores_like_its_run(made: tuple[Path, list[dict]], tmp_path: Path) -> None:
    run = next(run for run in harness.load_runs(made[0]) if run.result.method == "deepmil")
    split = open_bank(find_card("demo"), None).split("test")
    item = 5
    start = split.starts[item]
    features = np.array(split.features[start : start + split.items[item].snippets], dtype=np.float32)
    model = harness.load_checkpoint(run.directory / "checkpoint.safetensors")
    scores = model.score(features)
    assert scores == pytest.approx(run.predictions[split.items[item].video], abs=1e-6)
    assert model.score(np.stack([features, features])) == pytest.approx(scores, abs=1e-6)
    assert model.scale != 1, "features are taken as they lie in files, so the card's scale counts"
    for wrong in (features[:, :-1], features[0], np.full_like(features, np.nan)):
        with pytest.raises(harness.UserError, match="expected finite"):
            model.score(wrong)
    alone = tmp_path / "weights.safetensors"
    alone.write_bytes((run.directory / "checkpoint.safetensors").read_bytes())
    with pytest.raises(harness.UserError, match="dataset="):
        harness.load_checkpoint(alone)
    assert harness.load_checkpoint(alone, dataset="demo").score(features) == pytest.approx(scores, abs=0)
