"""Trained once, tested elsewhere: on other data sets, causally, and with an open vocabulary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.card import DatasetCard
from harness.data.cards import find_card, open_bank
from harness.records.request import Matrix
from harness.runs.computation import Trial
from harness.runs.matrix import plan
from harness.runs.order import bank_of, job_of
from tests.data.trees import Tree

Call = Callable[..., tuple[int, str, str]]
SHORT = ("--preset", "fast", "--set", "deepmil.epochs=2", "--set", "deepmil.steps_per_epoch=4")
CLASSES = ("Normal", "Fire", "Fall")


def tree(root: Path, name: str, seed: int, classes: tuple[str, ...] = CLASSES, **features: Any) -> Tree:
    """A data set of twelve training and nine test videos, whose abnormal snippets lie elsewhere."""
    counts = {"train": 12, "test": 9}
    card = DatasetCard.model_validate(
        {
            "name": name,
            "title": name,
            "classes": [{"name": word, "prompt": word.lower()} for word in classes],
            "base_classes": classes[1:2],
            "splits": {split: {"list": f"{split}.csv", "videos": count} for split, count in counts.items()},
            "alignment": {"kind": "stride", "stride": 16},
            "annotations": {"format": "ucf", "path": "events.txt"},
            "features": {"own": {"dim": 8, **features}},
            "fps": 16,
        }
    )
    made, random, events = Tree(root, card), np.random.default_rng(seed), []
    root.mkdir(parents=True)
    for split, count in counts.items():
        lines = []
        for number in range(count):
            label, video = classes[number % len(classes)], f"{split}{number}"
            rows = random.standard_normal((12, card.features["own"].dim))
            if label != classes[0]:
                rows[4:8] += 2
                events.append(f"{video}  {label}  64  128  -1  -1")
            made.array(f"{video}.npy", rows.astype(np.float32))
            lines.append(f"{video}.npy,{label}")
        made.text(f"{split}.csv", "path,label", *lines)
    made.text("events.txt", *events)
    return made


@pytest.fixture
def sets(tmp_path: Path, harness: Call) -> dict[str, str]:
    """Paths of the cards of three imported sets: two of the same classes, and one of others."""
    made = [
        tree(tmp_path / "l", "left", 1),
        tree(tmp_path / "r", "right", 2),
        tree(tmp_path / "o", "other", 3, ("Calm", "Flood")),
    ]
    for each in made:
        code, stdout, stderr = harness("data", "import", each.write_card(), "--root", str(each.root))
        assert code == 0, stderr
        assert f"--dataset {each.card.name} --features own" in stdout + stderr
    return {each.card.name: each.card.name for each in made}


def document(stdout: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stdout)
    return found


def verified(harness: Call, runs: list[dict[str, Any]], file: Path) -> None:
    """Another harness that knows the data sets comes to the same numbers."""
    code, _, stderr = harness("submit", *(run["directory"] for run in runs), "--to", str(file))
    assert code == 0, stderr
    code, stdout, _ = harness("verify-submission", str(file), "--json")
    found = document(stdout)
    assert (code, found["verdict"], len(found["runs"])) == (0, "accepted", len(runs)), stdout


@pytest.mark.usefixtures("sets")
def test_one_training_is_tested_on_several_sets(harness: Call, tmp_path: Path) -> None:
    asked = ("run", "--methods", "deepmil", "--seeds", "0,1,2", *SHORT, "--out", str(tmp_path / "runs"), "--json")
    code, stdout, stderr = harness(*asked, "--train", "left,right", "--test", "right,other")
    assert code == 0, stderr
    assert "left to other: no map of their classes" in stderr
    found = document(stdout)
    runs = {(run["spec"]["trained_on"] or "-", run["dataset"], run["seed"]): run for run in found["runs"]}
    assert len(runs) == 3 * 5  # left and right at home, left to right and other, right to other
    for (trained, _, seed), run in runs.items():
        assert run["status"] == "ok"
        directory = Path(run["directory"])
        if trained == "-":
            assert (directory / "checkpoint.safetensors").exists()
            continue
        home = runs["-", trained, seed]
        assert run["spec"]["source"][:10] == home["id"][-10:]
        assert run["cost"]["train_seconds"] == 0
        assert not (directory / "checkpoint.safetensors").exists()
    # The same weights, evaluated by hand.
    code, stdout, _ = harness("eval", runs["-", "left", 0]["directory"], "--dataset", "right", "--json")
    assert code == 0
    assert document(stdout)["metrics"]["frame_auc"] == runs["left", "right", 0]["metrics"]["frame_auc"]
    moves = {(cell["trained_on"], cell["tested_on"]): cell for cell in found["transfers"]["cells"]}
    assert set(moves) == {("left", "right"), ("left", "other"), ("right", "other")}
    cell = moves["left", "right"]

    def mean(trained: str) -> float:
        return float(np.mean([runs[trained, "right", seed]["metrics"]["frame_auc"] for seed in range(3)]))

    assert cell["figure"]["mean"] == pytest.approx(mean("left"))
    assert cell["drop"] == pytest.approx(mean("-") - mean("left"))
    assert cell["low"] < cell["drop"] < cell["high"]
    assert moves["left", "other"]["drop"] is None  # nobody trained there
    assert [title for title, _ in found["transfers"]["average_ranks"]] == ["DeepMIL"]
    titles = [board["title"] for board in found["leaderboard"]]
    assert len(titles) == len(set(titles)) == 5
    assert "left → right · own" in titles
    code, stdout, _ = harness(*asked, "--train", "left,right", "--test", "right,other")
    assert {run["status"] for run in document(stdout)["runs"]} == {"skipped"}
    page = (tmp_path / "runs/report/index.html").read_text(encoding="utf-8")
    assert "Trained here, tested there" in page
    verified(harness, [runs["left", "right", 0], runs["left", "other", 1]], tmp_path / "moved.zip")


@pytest.mark.usefixtures("sets")
def test_features_made_otherwise_are_refused(harness: Call, tmp_path: Path) -> None:
    wide = tree(tmp_path / "w", "wide", 4, dim=9)
    assert harness("data", "import", wide.write_card(), "--root", str(wide.root))[0] == 0
    code, _, stderr = harness("run", "--methods", "deepmil", "--train", "left", "--test", "wide")
    assert code == 2
    assert stderr.splitlines()[-1] == (
        "error: --test wide: has no features made as those of the training, left/own (own, 8-d); it has own (9-d)"
    )
    code, _, stderr = harness("run", "--methods", "deepmil", "--train", "left", "--dataset", "left")
    assert (code, stderr.splitlines()[-1]) == (2, "error: --train and --dataset say the same; give one of them")


@pytest.mark.usefixtures("sets")
def test_a_causal_test_stands_beside_the_usual_one(harness: Call, tmp_path: Path) -> None:
    asked = ("run", "--methods", "deepmil,rtfm", "--dataset", "left", *SHORT, "--set", "rtfm.epochs=1")
    code, stdout, stderr = harness(*asked, "--causal", "--out", str(tmp_path / "runs"), "--json")
    assert code == 0, stderr
    runs = {(run["method"], run["spec"]["reading"]): run["metrics"] for run in document(stdout)["runs"]}
    usual, causal = runs["deepmil", ""], runs["deepmil", "causal"]
    assert causal["frame_auc"] == usual["frame_auc"]  # snippet by snippet
    usual, causal = runs["rtfm", ""], runs["rtfm", "causal"]
    assert set(causal) - set(usual) == {"early_found", "early_before_half", "early_delay_seconds"}
    boards = {board["title"]: board for board in document(stdout)["leaderboard"]}
    assert list(boards) == ["left · own", "left · own · causal"]
    losses = {row["method"]: row["metrics"]["causal_loss"]["mean"] for row in boards["left · own · causal"]["rows"]}
    assert losses["deepmil"] == 0
    assert losses["rtfm"] == pytest.approx(usual["frame_auc"] - causal["frame_auc"]) != 0
    verified(harness, document(stdout)["runs"], tmp_path / "causal.zip")


@pytest.mark.usefixtures("sets")
def test_a_training_with_an_open_vocabulary_sees_no_novel_video(harness: Call, tmp_path: Path) -> None:
    matrix = Matrix(methods=("deepmil",), datasets=("left",), preset="fast", open_vocabulary=True)
    (order,) = plan(matrix, tmp_path, 1).orders
    assert order.spec.vocabulary == ("Fire",)
    job = job_of(order, bank_of(order))
    assert isinstance(job, Trial)
    whole = open_bank(find_card("left"), None).split("train")
    assert {label for item in whole.items for label in item.labels} == {0, 1, 2}
    assert {label for item in job.training.items for label in item.labels} == {0, 1}
    assert len(job.training.items) == 8
    code, stdout, stderr = harness(
        *("run", "--methods", "deepmil", "--dataset", "left", "--seeds", "0,1", *SHORT),
        *("--open-vocabulary", "--out", str(tmp_path / "runs"), "--json"),
    )
    assert code == 0, stderr
    verified(harness, document(stdout)["runs"], tmp_path / "open.zip")
    boards = {board["title"]: board for board in document(stdout)["leaderboard"]}
    parts = [f"left · own · open vocabulary, {part} classes" for part in ("all", "base", "novel")]
    assert sorted(boards) == sorted(parts)
    metrics = {title: boards[title]["rows"][0]["metrics"] for title in parts}
    for part in ("base", "novel"):
        title = f"left · own · open vocabulary, {part} classes"
        assert metrics[title]["frame_auc"]["mean"] == metrics[parts[0]][f"{part}_frame_auc"]["mean"]
        assert metrics[title]["frame_auc"]["low"] is not None
        assert boards[title]["videos"] == 6
    assert len({json.dumps(each["frame_auc"]) for each in metrics.values()}) == 3


@pytest.mark.usefixtures("sets")
def test_questions_that_do_not_fit_together(harness: Call) -> None:
    code, _, stderr = harness(
        "run", "--methods", "deepmil", "--dataset", "left", "--open-vocabulary", "--test", "right"
    )
    assert code == 2
    assert "--open-vocabulary and --test" in stderr.splitlines()[-1]


@pytest.mark.usefixtures("sets")
def test_a_disturbed_test_goes_with_every_set_and_reading(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "tests": ("right",),
        "causal": True,
        "disturbances": ("feature-noise 1", "label-noise 0.5"),
    }
    matrix = Matrix(methods=("deepmil",), datasets=("left",), preset="fast", **asked)
    found = [order.spec for order in plan(matrix, tmp_path, 1).all]
    questions = [(spec.dataset, spec.reading, spec.disturbance) for spec in found]
    assert len(set(questions)) == len(questions) == 12
    trained = {spec.identity: spec.disturbance for spec in found if not spec.source}
    # Flipped labels are another training, noise another test of the same weights.
    assert sorted(trained.values()) == ["", "label-noise 0.5"]
    for spec in (spec for spec in found if spec.source):
        assert trained[spec.source] == ("label-noise 0.5" if spec.disturbance == "label-noise 0.5" else "")
