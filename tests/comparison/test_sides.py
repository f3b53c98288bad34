"""What the words of `harness compare` stand for, and the command as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from harness.data.cards import find_card, open_bank
from harness.io.atomic import read_json, write_json
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from tests.fakes import fake_run
from tests.report.test_write import Page
from tests.runs.test_checkpoint_evaluation import bank, refused
from tests.weights.test_official_checkpoints import official

Call = Callable[..., tuple[int, str, str]]
QUICK = ("--resamples", "100")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two methods with two and three seeds."""
    for method, seeds in (("alpha", 2), ("beta", 3)):
        for seed in range(seeds):
            fake_run(tmp_path / "runs", method=method, seed=seed)
    return tmp_path / "runs"


def compared(harness: Call, *arguments: str) -> dict[str, object]:
    code, stdout, stderr = harness("compare", *arguments, "--json", *QUICK)
    assert code == 0, stderr
    return dict(json.loads(stdout))


def names(document: dict[str, object]) -> list[tuple[str, int]]:
    return [(each["name"], each["seeds"]) for each in document["sides"]]  # type: ignore[attr-defined]


def table(run: Path, target: Path, gt: bool, noise: float = 0.1) -> str:
    """A run's predictions as another program would write them, on request with a label per row."""
    p, truth = Predictions.load(run / "predictions.npz"), GroundTruth.load(run / "truth.json")
    video = np.repeat(np.array(p.videos, dtype=object), np.diff(p.offsets))
    rows = pd.DataFrame({"video_id": video, "pred": p.scores + np.random.default_rng(0).normal(0, noise, len(video))})
    if gt:
        marks = [v.mask()[np.arange(0, v.frames, 16)] for v in truth.videos.values()]
        rows["gt"] = np.concatenate(marks).astype(int)
    rows.to_csv(target, index=False)
    return str(target)


def test_a_method_stands_for_its_seeds(harness: Call, runs: Path) -> None:
    document = compared(harness, "alpha", "beta", "--out", str(runs))
    assert names(document) == [("alpha", 2), ("beta", 3)]
    assert set(document) >= {"pairs", "classes", "videos", "sides", "statistics", "test", "cautions"}
    assert document["test"]["videos"] == 12  # type: ignore[index]
    assert document["cautions"] == []


def test_runs_by_id_and_path_alone_and_joined(harness: Call, runs: Path) -> None:
    first, second = sorted(path.name for path in runs.glob("alpha-*"))
    document = compared(harness, first, str(runs / second), "beta", "--out", str(runs))
    assert names(document) == [("alpha seed 0", 1), ("alpha seed 1", 1), ("beta", 3)]
    assert document["cautions"][0].startswith("One set of predictions each: alpha seed 0, alpha seed 1.")  # type: ignore[index]
    joined = compared(harness, f"{first}+{second}", "beta", "--out", str(runs))
    assert joined["pairs"] == compared(harness, "alpha", "beta", "--out", str(runs))["pairs"]


def test_a_method_with_several_settings_is_refused_with_its_runs(harness: Call, runs: Path) -> None:
    other = fake_run(runs, method="alpha", seed=0, config={"lr": 1.0})
    looked = fake_run(runs, method="alpha", seed=0, selection="oracle")
    text = refused(harness, "compare", "alpha", "beta", "--out", str(runs))
    assert "3 settings (they differ in config, selection)" in text
    assert other.id in text
    document = compared(harness, looked.id, other.id, "--out", str(runs))
    assert names(document) == [("alpha oracle", 1), ("alpha last", 1)]
    assert "alpha oracle chose its weights on the test set, which flatters it." in document["cautions"]  # type: ignore[operator]
    joined = f"{looked.id}+{other.id}"
    assert "differ in config, selection" in refused(harness, "compare", joined, "beta", "--out", str(runs))


def test_of_a_seed_that_was_run_twice_the_newest_counts(harness: Call, runs: Path) -> None:
    newest = fake_run(runs, method="alpha", seed=1, code="d" * 64)
    document = compared(harness, "alpha", "beta", "--out", str(runs))
    assert names(document)[0] == ("alpha", 2)
    assert str(runs / newest.id) in document["sides"][0]["sources"]  # type: ignore[index]


def test_prediction_files_meet_on_their_own_labels(harness: Call, runs: Path, tmp_path: Path) -> None:
    one, other = sorted(runs.iterdir())[:2]
    (tmp_path / "b").mkdir()
    files = [table(one, tmp_path / "scores.csv", gt=True), table(other, tmp_path / "b" / "scores.csv", gt=True)]
    document = compared(harness, *files)
    assert names(document) == [(f"scores {tmp_path.name}", 1), ("scores b", 1)]
    assert document["test"]["frames"] == len(pd.read_csv(files[0]))  # type: ignore[index]
    rows = pd.read_csv(files[1])
    rows.assign(gt=1 - rows["gt"]).to_csv(files[1], index=False)
    assert "different ground truth; name the data set with --dataset" in refused(harness, "compare", *files)


def test_a_file_without_labels_takes_the_ground_truth_of_the_runs(harness: Call, runs: Path, tmp_path: Path) -> None:
    run = sorted(runs.glob("beta-*"))[0]
    file = table(run, tmp_path / "foreign.csv", gt=False, noise=0.0)
    document = compared(harness, file, run.name, "--out", str(runs))
    assert names(document) == [("foreign", 1), ("beta", 1)]
    assert all(abs(pair["difference"]) < 1e-9 for pair in document["pairs"])  # type: ignore[attr-defined]
    again = table(run, tmp_path / "again.csv", gt=False)
    assert "name the data set with --dataset" in refused(harness, "compare", file, again)


def test_checkpoints_are_evaluated_on_the_data_set_and_leave_nothing(harness: Call, tmp_path: Path) -> None:
    card, ours, theirs = bank(tmp_path, i3d=24), str(tmp_path / "ours.safetensors"), str(tmp_path / "official.pkl")
    torch.save(official(), theirs)
    assert harness("convert", theirs, "--method", "deepmil", "--out", ours)[0] == 0
    before = sorted(tmp_path.rglob("*"))
    document = compared(harness, ours, f"deepmil:{theirs}", "--dataset", card, "--out", str(tmp_path / "runs"))
    assert names(document) == [("deepmil ours", 1), ("deepmil official", 1)]
    assert all(pair["difference"] == 0 for pair in document["pairs"])  # type: ignore[attr-defined]
    assert sorted(tmp_path.rglob("*")) == before
    assert "name the data set" in refused(harness, "compare", ours, f"deepmil:{theirs}")
    assert f"write METHOD:{theirs}" in refused(harness, "compare", theirs, ours, "--dataset", card)


def test_names_of_other_programs_are_matched_to_the_card(harness: Call, tmp_path: Path) -> None:
    card = bank(tmp_path, i3d=24)
    truth = open_bank(find_card(card), None).truth()
    rows = {name: -(-video.frames // 16) for name, video in truth.videos.items()}
    scores = np.random.default_rng(0).random(sum(rows.values()))
    files = []
    for form in ("{}", "/data/clips/{}.mp4"):
        video = np.repeat([form.format(name) for name in rows], list(rows.values()))
        files.append(str(tmp_path / f"scores{len(files)}.csv"))
        pd.DataFrame({"video": video, "score": scores}).to_csv(files[-1], index=False)
    document = compared(harness, *files, "--dataset", card)
    assert names(document) == [("scores0", 1), ("scores1", 1)]
    assert all(pair["difference"] == 0 for pair in document["pairs"])  # type: ignore[attr-defined]
    last = list(rows)[-1]
    some = pd.read_csv(files[1])
    some[~some["video"].str.contains(last)].to_csv(files[1], index=False)
    assert f"have no scores, such as '{last}'" in refused(harness, "compare", *files, "--dataset", card)


def test_videos_without_features_are_left_out_of_files(harness: Call, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    full = fake_run(out, method="alpha")
    file = table(out / full.id, tmp_path / "foreign.csv", gt=False)
    short = fake_run(out, method="beta")
    value = read_json(out / short.id / "truth.json")
    gone = value["videos"].pop()
    write_json(out / short.id / "truth.json", {**value, "excluded": [gone["video"]]})
    p = Predictions.load(out / short.id / "predictions.npz")
    Predictions(p.videos[:-1], p.offsets[:-1], p.scores[: p.offsets[-2]], p.alignment, p.classes).save(
        out / short.id / "predictions.npz"
    )
    document = compared(harness, file, short.id, "--out", str(out))
    assert document["test"]["excluded"] == [gone["video"]]  # type: ignore[index]
    assert any("1 videos left out" in caution for caution in document["cautions"])  # type: ignore[attr-defined]


def test_the_page_is_written_where_asked_and_nothing_else(harness: Call, runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "page" / "compare.html"
    before = sorted(runs.rglob("*"))
    code, stdout, stderr = harness("compare", "alpha", "beta", "--out", str(runs), "--html", str(target), *QUICK)
    assert code == 0, stderr
    assert stdout.endswith(f"wrote {target}\n")
    assert "alpha minus beta" in stdout
    assert [path.name for path in target.parent.iterdir()] == ["compare.html"]
    assert sorted(runs.rglob("*")) == before
    text = target.read_text(encoding="utf-8")
    assert Page(text).loads == []
    assert str(tmp_path) not in text
    assert all(f"<code>{run.name}</code>" in text for run in runs.iterdir() if run.name.startswith("alpha"))


def test_what_differs_is_told_with_the_option_that_chooses(harness: Call, runs: Path) -> None:
    out = ("--out", str(runs))
    fake_run(runs, method="alpha", selection="oracle")
    fake_run(runs, method="alpha", selection="last", preset="paper")
    text = refused(harness, "compare", "alpha", "beta", *out)
    assert "3 settings (they differ in preset, selection)" in text
    assert (
        "; --preset fast or --preset paper and --selection last or --selection oracle tells them apart, or name" in text
    )
    assert "(they differ in preset); --preset fast or --preset paper tells" in refused(
        harness, "compare", "alpha", "beta", *out, "--selection", "last"
    )
    document = compared(harness, "alpha", "beta", *out, "--preset", "fast", "--selection", "last")
    assert names(document) == [("alpha", 2), ("beta", 3)]
    for seed in range(2):
        fake_run(runs, method="gamma", seed=seed, dataset=("toy", "toy2")[seed], features=("clip", "i3d")[seed])
    text = refused(harness, "compare", "gamma", "beta", *out)
    assert "--dataset toy or --dataset toy2 and --features clip or --features i3d tells them apart, or name" in text
    assert names(compared(harness, "gamma", "beta", *out, "--features", "clip"))[0] == ("gamma", 1)
    assert "--preset slow: no run has it; there are fast, paper" in refused(
        harness, "compare", "gamma", "beta", *out, "--preset", "slow"
    )
    assert "--selection 'best': expected last, val" in refused(
        harness, "compare", "alpha", "beta", *out, "--selection", "best"
    )


@pytest.mark.parametrize("labels", [(True, True), (True, False), (False, True)])
def test_files_that_name_different_videos(harness: Call, runs: Path, tmp_path: Path, labels: tuple[bool, bool]) -> None:
    files = []
    for number, gt in enumerate(labels):
        files.append(table(next(runs.glob("alpha-*")), tmp_path / f"{number}.csv", gt))
        rows = pd.read_csv(files[-1])
        rows["video_id"] = rows["video_id"].str.replace("video", f"clip{number}")
        rows.to_csv(files[-1], index=False)
    text = refused(harness, "compare", *files)
    assert f"{files[0]} and {files[1]}: the two files name different videos, such as 'clip0_00' and 'clip1_00';" in text


def test_wrong_input_is_one_line(harness: Call, runs: Path, tmp_path: Path) -> None:
    out = ("--out", str(runs))
    assert "two or more sides" in refused(harness, "compare", "alpha", *out)
    assert "is given twice" in refused(harness, "compare", "alpha", "alpha", *out)
    assert "is given twice" in refused(harness, "compare", "alpha", sorted(runs.iterdir())[0].name, *out)
    assert "gamma: no such file, no run below" in refused(harness, "compare", "alpha", "gamma", *out)
    assert "+".join(["x" * 90] * 4) in refused(harness, "compare", "alpha", "+".join(["x" * 90] * 4) + "+", *out)
    assert "no finished run of deepmil" in refused(harness, "compare", "alpha", "baseline", *out)
    assert "is a directory" in refused(harness, "compare", "alpha", "beta", *out, "--html", str(tmp_path))
    assert "unknown dataset" in refused(harness, "compare", "alpha", "beta", *out, "--dataset", "toyy")
    assert "is a run on toy" in refused(
        harness, "compare", *(path.name for path in sorted(runs.iterdir())[:2]), *out, "--dataset", "ucf-crime"
    )
    (tmp_path / "official.pth").write_bytes(b"no weights")
    assert "write METHOD:" in refused(harness, "compare", "alpha", str(tmp_path / "official.pth"), *out)
    failed = fake_run(runs, method="delta")
    write_json(runs / failed.id / "run.json", failed.model_copy(update={"status": "failed"}).model_dump())
    assert "this run failed" in refused(harness, "compare", "alpha", failed.id, *out)


def test_files_meet_on_annotation_files_alone(harness: Call, tmp_path: Path, shared: Path) -> None:
    real = shared / "real"
    file = real / "predictions" / "ucf-crime-c3d-mil.csv.gz"
    other = tmp_path / "shuffled.csv"
    table = pd.read_csv(file)
    column = "pred" if "pred" in table else "score"
    table[column] = np.random.default_rng(0).permutation(table[column].to_numpy())
    table.to_csv(other, index=False)
    line = ("--dataset", "ucf-crime-c3d", "--root", str(real / "ucf-crime-r3d34"))
    document = compared(harness, str(file), str(other), *line)
    assert document["test"] == {"dataset": "ucf-crime-c3d", "videos": 290, "frames": 1_111_808, "excluded": []}
    auc = next(pair for pair in document["pairs"] if pair["metric"] == "frame_auc")  # type: ignore[attr-defined]
    assert auc["verdict"] == "ucf-crime-c3d-mil ahead, these weights only"
    assert "name it with --dataset" in refused(harness, "compare", str(file), str(other), "--root", str(real))
