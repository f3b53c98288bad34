"""`harness study`: one training serves all levels of a disturbed test, and curves say what was lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.cards import find_card, open_bank
from harness.records.request import Matrix
from harness.records.run_directory import open_run
from harness.runs.computation import Trial
from harness.runs.matrix import plan
from harness.runs.order import bank_of, job_of
from tests.runs.test_retests import SHORT, tree

Call = Callable[..., tuple[int, str, str]]
METHOD = ("--methods", "deepmil", "--dataset", "left", *SHORT)


@pytest.fixture
def left(tmp_path: Path, harness: Call) -> None:
    made = tree(tmp_path / "l", "left", 1)
    code, _, stderr = harness("data", "import", made.write_card(), "--root", str(made.root))
    assert code == 0, stderr


@pytest.mark.usefixtures("left")
def test_a_disturbed_test_asks_the_same_weights(harness: Call, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    asked = ("study", "feature-noise", *METHOD, "--seeds", "0,1", "--levels", "0,1,20", "--out", str(out), "--json")
    code, stdout, stderr = harness(*asked)
    assert code == 0, stderr
    found = json.loads(stdout)
    runs = {(run["spec"]["disturbance"], run["seed"]): run for run in found["runs"]}
    assert sorted(runs) == [(text, seed) for text in ("", "feature-noise 1", "feature-noise 20") for seed in (0, 1)]
    for (text, seed), run in runs.items():
        assert ("-feature-noise-" in run["id"]) == bool(text)
        assert run["spec"]["source"][:10] == (runs["", seed]["id"][-10:] if text else "")
        assert (Path(run["directory"]) / "checkpoint.safetensors").exists() != bool(text)
    (curve,) = found["curves"]
    assert (found["part"], found["undisturbed"], curve["claim"]) == ("test", 0, "method")
    assert [point["level"] for point in curve["points"]] == [0, 1, 20]

    def mean(text: str) -> float:
        return float(np.mean([runs[text, seed]["metrics"]["frame_auc"] for seed in (0, 1)]))

    for point, text in zip(curve["points"], ("", "feature-noise 1", "feature-noise 20"), strict=True):
        assert point["figure"]["mean"] == pytest.approx(mean(text))
        loss = point["loss"]
        if text:
            assert loss["mean"] == pytest.approx(mean("") - mean(text))
            assert loss["low"] < loss["mean"] < loss["high"]
    assert curve["points"][2]["loss"]["mean"] > 0.02
    page = Path(found["page"])
    text = page.read_text(encoding="utf-8")
    assert page == out / "study/feature-noise-left-own.html"
    assert "--levels 0,1,20" in text
    assert 'data-name="DeepMIL"' in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    code, stdout, _ = harness("report", "--out", str(out), "--json")
    boards = {board["title"] for board in json.loads(stdout)["leaderboard"]}
    assert boards == {"left · own", "left · own · feature-noise 1", "left · own · feature-noise 20"}
    # The site has the same page, but for the way back to its overview.
    own = (out / "report/studies" / page.name).read_text(encoding="utf-8")
    assert (
        own.replace('<a class="home" href="../index.html">All boards</a>', '<span class="home">harness study</span>')
        == text
    )
    index = (out / "report/index.html").read_text(encoding="utf-8")
    assert f'href="studies/{page.name}"' in index
    assert index.count('<article class="card">') == 1
    noisy = str(runs["feature-noise 20", 0]["directory"])
    code, stdout, stderr = harness("compare", "deepmil", noisy, "--out", str(out), "--json")
    assert code == 0, stderr  # of a method that is named, the undisturbed runs are meant
    sources = json.loads(stdout)["sides"][0]["sources"]
    assert [Path(source).name for source in sources] == [runs["", seed]["id"] for seed in (0, 1)]


@pytest.mark.usefixtures("left")
def test_flipped_labels_train_anew_from_a_file_too(harness: Call, tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.yaml"
    settings = "preset: fast\nset: {deepmil: {epochs: 2, steps_per_epoch: 4}}"
    matrix.write_text(f"methods: deepmil\ndatasets: left\n{settings}\ndisturbances: [label-noise 0.5, label-noise 0]\n")
    out = tmp_path / "runs"
    code, stdout, stderr = harness("run", "--file", str(matrix), "--out", str(out), "--json", "--no-report")
    assert code == 0, stderr
    plain, noisy = json.loads(stdout)["runs"]
    assert (plain["spec"]["disturbance"], noisy["spec"]["disturbance"]) == ("", "label-noise 0.5")
    assert noisy["spec"]["source"] == ""
    one, other = (open_run(Path(run["directory"])).predictions().scores for run in (plain, noisy))
    assert not np.array_equal(one, other)
    # What ran is not run again, and one seed speaks of these weights.
    asked = ("study", "label-noise", *METHOD, "--seeds", "0", "--levels", "0.5", "--out", str(out), "--json")
    code, stdout, stderr = harness(*asked)
    assert code == 0, stderr
    found = json.loads(stdout)
    assert [run["status"] for run in found["runs"]] == ["skipped", "skipped"]
    (curve,) = found["curves"]
    assert curve["claim"] == "weights"
    assert curve["points"][1]["loss"]["low"] is None
    assert curve["points"][1]["loss"]["videos_low"] is not None
    assert "these weights" in Path(found["page"]).read_text(encoding="utf-8")


@pytest.mark.usefixtures("left")
def test_a_disturbed_training_is_the_training_of_its_run(tmp_path: Path) -> None:
    matrix = Matrix(methods=("deepmil",), datasets=("left",), preset="fast", disturbances=("fewer-videos 0.5",))
    plain, fewer = plan(matrix, tmp_path, 1).orders
    jobs = [job_of(order, bank_of(order)) for order in (plain, fewer)]
    assert all(isinstance(job, Trial) for job in jobs)
    assert [len(job.training.items) for job in jobs] == [12, 6]
    assert plain.spec.identity != fewer.spec.identity
    assert len(open_bank(find_card("left"), None).split("train").items) == 12


@pytest.mark.usefixtures("left")
def test_studies_that_cannot_be(harness: Call, tmp_path: Path) -> None:
    for words, said in (
        (("study", "missing-crops"), "missing-crops: the test videos of left/own have one crop, so that none can be "),
        (("study", "dropped-audio"), "dropped-audio: left/own has no sound (no audio_dim in the card), so that none "),
        (("study", "louder"), "harness study louder: expected label-noise, fewer-videos, feature-noise, missing-crops"),
        (("study", "label-noise", "--levels", "2"), "disturbance 'label-noise 2': expected a share from 0 to 1 behind"),
        (("study", "label-noise", "--levels", "x"), "--levels 'x': expected numbers such as 0,0.1,0.2"),
        (("run", "--disturbances", "label-noise"), "disturbance 'label-noise': expected a share from 0 to 1 behind "),
    ):
        code, stdout, stderr = harness(*words, *METHOD, "--out", str(tmp_path / "runs"))
        assert (code, stdout) == (2, "")
        assert stderr.splitlines()[-1].startswith(f"error: {said}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("left")
def test_a_dry_run_knows_what_is_finished(harness: Call, tmp_path: Path) -> None:
    asked = ("run", *METHOD, "--disturbances", "feature-noise 1", "--out", str(tmp_path / "runs"))
    assert harness(*asked, "--no-report")[0] == 0
    code, stdout, stderr = harness(*asked, "--dry-run", "--json")
    assert code == 0, stderr
    assert [run["status"] for run in json.loads(stdout)["runs"]] == ["finished"] * 2


@pytest.fixture
def heard(tmp_path: Path, harness: Call) -> None:
    """A data set with three crops and two channels of sound."""
    made = tree(tmp_path / "h", "heard", 1, stacked=True, crops=3, audio="__sound", audio_dim=2)
    random = np.random.default_rng(0)
    for path in sorted(made.root.glob("*.npy")):
        rows = np.load(path)
        crops = rows[:, None, :6] + random.standard_normal((12, 3, 6))
        made.array(path.name, crops.astype(np.float32))
        made.array(f"{path.stem}__sound.npy", rows[:, 6:])
    code, _, stderr = harness("data", "import", made.write_card(), "--root", str(made.root))
    assert code == 0, stderr


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("name", "levels", "found"),
    [("missing-crops", (), [3, 2, 1]), ("dropped-audio", ("--levels", "0.5,1"), [0, 0.5, 1])],
)
def test_crops_and_sound(name: str, levels: tuple[str, ...], found: list[float], harness: Call, tmp_path: Path) -> None:
    asked = ("study", name, "--methods", "deepmil", "--dataset", "heard", *SHORT, "--seeds", "0", *levels)
    code, stdout, stderr = harness(*asked, "--out", str(tmp_path / "runs"), "--json")
    assert code == 0, stderr
    document = json.loads(stdout)
    (curve,) = document["curves"]
    assert [point["level"] for point in curve["points"]] == found
    assert [run["spec"]["source"] == "" for run in document["runs"]] == [True, False, False]
    scores = [open_run(Path(run["directory"])).predictions() for run in document["runs"]]
    for other in scores[1:]:
        assert other.videos == scores[0].videos
        assert other.offsets.tolist() == scores[0].offsets.tolist()
        assert not np.array_equal(other.scores, scores[0].scores)
