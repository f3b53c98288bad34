"""`harness eval`: own, converted and official checkpoints, and what becomes of a recorded evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from harness import registry
from harness.data.bank import Bank, Item, bank_path
from harness.data.bank_writer import BankWriter
from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.errors import UserError
from harness.io.atomic import read_json, replacing_directory
from harness.methods.deepmil import DeepMIL
from harness.methods.dsanet import DSANet
from harness.plugin import Task
from harness.records.result import RunResult
from harness.records.spec import RunSpec
from harness.records.truth import Event, GroundTruth, VideoTruth
from harness.registry import method_names
from harness.runs.checkpoint_loading import fitting_features
from harness.text.loading import load_text_tower
from harness.weights.checkpoints import Header, save_checkpoint
from tests.fakes import fake_result, fake_run
from tests.weights.test_official_checkpoints import official

Call = Callable[..., tuple[int, str, str]]
SHORT = ("--set", "deepmil.epochs=2", "--set", "deepmil.steps_per_epoch=4")


def bank(directory: Path, **widths: int) -> str:
    """Write banks of random features, one per feature set, and their card; returns the card's path."""
    classes = [{"name": "Normal", "prompt": "normal"}, {"name": "Fight", "prompt": "fight"}]
    card = DatasetCard.model_validate(
        {
            "name": "small",
            "title": "Small",
            "family": "ucf-crime",
            "classes": classes,
            "splits": {"train": {"list": "-", "videos": 8}, "test": {"list": "-", "videos": 8}},
            "alignment": {"kind": "stride", "stride": 16},
            "features": {name: {"dim": dim} for name, dim in widths.items()},
            "licence": "none",
            "source": "made up",
        }
    )
    for name, dim in widths.items():
        random, truth = np.random.default_rng(0), {}
        with replacing_directory(bank_path("small", name)) as path, BankWriter(path, card, name) as writer:
            for number in range(16):
                split, label, length = ("train", "test")[number % 2], number // 2 % 2, 3 + number
                features = random.standard_normal((length, dim)).astype(np.float32) + label
                writer.add(split, Item(f"v{number}", 0, length, (label,) if split == "train" else ()), features)
                if split == "test":
                    truth[f"v{number}"] = VideoTruth(16 * length, (label,), (Event(16, 40, label),) if label else ())
            writer.finish(GroundTruth("small", card.class_names, card.alignment, truth), {}, "test")
    path = directory / "small.yaml"
    path.write_text(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    return str(path)


def evaluated(harness: Call, *arguments: str) -> dict[str, Any]:
    """The document that `harness eval` prints."""
    code, stdout, stderr = harness("eval", *arguments, "--json")
    assert code == 0, stderr
    return dict(json.loads(stdout))


def refused(harness: Call, *arguments: str) -> str:
    """The one line of a refused command."""
    code, stdout, stderr = harness(*arguments)
    assert (code, stdout) == (2, "")
    assert len(stderr.strip().splitlines()) == 1, stderr
    return stderr


@pytest.mark.parametrize(
    ("file", "method", "dim"), [("deepmil-i3d.pkl", "deepmil", 1024), ("hlnet-xd.pkl", "hlnet", 1152)]
)
def test_real_checkpoints_end_to_end(
    shared: Path, harness: Call, tmp_path: Path, file: str, method: str, dim: int
) -> None:
    if method not in method_names():
        pytest.skip(f"{method} is not registered")
    source, ours = str(shared / "real" / "checkpoints" / file), str(tmp_path / "ours.safetensors")
    card = bank(tmp_path, features=dim)
    assert harness("convert", source, "--method", method, "--dataset", card, "--out", ours)[0] == 0
    converted = evaluated(harness, ours, "--dataset", card)
    direct = evaluated(harness, source, "--dataset", card, "--method", method)
    assert converted["metrics"] == direct["metrics"]
    assert 0 < converted["metrics"]["frame_auc"] < 1
    assert (converted["method"], converted["videos"], converted["excluded"]) == (method, 8, [])
    assert (converted["checkpoint"], direct["checkpoint"]) == (ours, source)


@pytest.mark.usefixtures("demo")
def test_an_own_run_by_file_directory_and_id_gives_its_own_numbers(harness: Call, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "runs"))
    code, stdout, stderr = harness("run", "--methods", "baseline,linear-probe", *SHORT, *out, "--json")
    assert code == 0, stderr
    for run in json.loads(stdout)["runs"]:
        for checkpoint in (f"{run['directory']}/checkpoint.safetensors", run["directory"], run["id"]):
            document = evaluated(harness, checkpoint, "--dataset", "demo", *out)
            assert document["metrics"] == run["metrics"]
            assert document["class_auc"] == run["class_auc"]
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 2, "nothing is recorded unless asked"


def test_the_table(harness: Call, tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "official.pkl")
    code, stdout, _ = harness(
        "eval", str(tmp_path / "official.pkl"), "--method", "baseline", "--dataset", bank(tmp_path, i3d=24)
    )
    assert code == 0
    assert "Frame AUC" in stdout
    assert "AUC Fight" not in stdout, "the only class says what the whole test set says"
    assert "deepmil on small/i3d: 8 test videos, 1,408 frames; percent" in stdout


def test_given_weights_are_rows_of_their_own(harness: Call, tmp_path: Path) -> None:
    card, out = bank(tmp_path, i3d=24), str(tmp_path / "runs")
    same = ("--dataset", card, "--out", out, "--set", "deepmil.hidden=16", "--set", "deepmil.bottleneck=8")
    assert harness("run", "--methods", "baseline", *same, *SHORT)[0] == 0
    first, second = tmp_path / "first.pkl", tmp_path / "second.pkl"
    torch.save(official(), first)
    torch.save({name: 2 * value for name, value in official().items()}, second)
    for file in (first, second, first):
        document = evaluated(harness, str(file), "--method", "deepmil", "--record", "--dataset", card, "--out", out)
        assert Path(document["directory"]).name.startswith("deepmil-small-s0-given-")
    recorded = sorted((tmp_path / "runs").glob("*-given-*"))
    assert len(recorded) == 2
    for directory in recorded:
        names = {path.name for path in directory.iterdir()}
        assert names >= {"run.json", "predictions.npz", "truth.json", "config.json", "checkpoint.safetensors"}
    # The recorded run is a checkpoint again, and the converted file is the same weights.
    assert harness("convert", str(first), "--method", "deepmil", "--out", str(tmp_path / "c.safetensors"))[0] == 0
    for again in (str(tmp_path / "c.safetensors"), *map(str, recorded)):
        evaluated(harness, again, "--record", "--dataset", card, "--out", out)
    assert len(list((tmp_path / "runs").glob("*-given-*"))) == 2

    code, stdout, _ = harness("report", "--out", out, "--formats", "html,md,csv,json")
    assert code == 0
    assert stdout.count("weights") >= 2
    report = tmp_path / "runs" / "report"
    (board,) = read_json(report / "leaderboard.json")["boards"]
    rows = sorted((row["selection"], row["origin"], row["train_seconds"] is None) for row in board["rows"])
    assert rows == [("given", "checkpoint", True), ("given", "checkpoint", True), ("last", "trained", False)]
    assert len({row["checkpoint"] for row in board["rows"]}) == 3
    assert "what they saw and how they were chosen is not known" in " ".join(board["cautions"])
    assert (report / "leaderboard.md").read_text().count("given weights") >= 2
    (page,) = (report / "boards").iterdir()
    assert page.read_text().count("converted checkpoint") == 2
    assert "given,checkpoint," in (report / "leaderboard.csv").read_text()
    code, stdout, _ = harness("list", "runs", "--out", out, "--json")
    assert [run["selection"] for run in json.loads(stdout)["runs"]].count("given") == 2


def test_inference_only_methods_are_evaluated_not_trained(
    harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the group of the floors, which train in no time.
    changed = {"training": "inference-only", "family": "floor"}
    monkeypatch.setattr(DeepMIL, "card", DeepMIL.card.model_copy(update=changed))
    cards = {**registry.method_cards(), "deepmil": DeepMIL.card}
    monkeypatch.setattr(registry, "method_cards", lambda: cards)
    card, out = bank(tmp_path, i3d=24), str(tmp_path / "runs")
    line = (
        "deepmil has no published training; evaluate a checkpoint: "
        f"harness eval CHECKPOINT --method deepmil --dataset {card}"
    )
    code, _, stderr = harness("run", "--methods", "deepmil", "--dataset", card, "--out", out)
    assert code == 1
    assert f"failed: deepmil seed 0: {line}" in stderr
    code, _, stderr = harness("run", "--methods", "floor", "--dataset", card, "--out", out, "--json")
    assert f"left out: {line}" in stderr
    torch.save(official(), tmp_path / "official.pkl")
    arguments = ("--method", "deepmil", "--record", "--dataset", card, "--out", out)
    document = evaluated(harness, str(tmp_path / "official.pkl"), *arguments)
    assert read_json(Path(document["directory"]) / "run.json")["origin"] == "inference-only"
    assert harness("report", "--out", out, "--formats", "md")[0] == 0
    assert "| given weights, inference only |" in (tmp_path / "runs" / "report" / "leaderboard.md").read_text()


def test_wrong_input_is_one_line(harness: Call, tmp_path: Path, demo: Bank) -> None:
    torch.save(official(), tmp_path / "official.pkl")
    ours, out = tmp_path / "ours.safetensors", tmp_path / "runs"
    assert harness("convert", str(tmp_path / "official.pkl"), "--method", "deepmil", "--out", str(ours))[0] == 0
    demo_set = ("--dataset", "demo", "--out", str(out))
    text = refused(harness, "eval", str(ours), *demo_set)
    assert text == "error: ours.safetensors is made for 24-d features; demo/synthetic has 512-d\n"
    text = refused(harness, "eval", str(tmp_path / "official.pkl"), *demo_set)
    assert "name the method of official weights with --method" in text
    assert "not of dsanet" in refused(harness, "eval", str(ours), "--method", "dsanet", *demo_set)
    assert "no such run id below" in refused(harness, "eval", "deepmil-demo-s0-last-123", *demo_set)
    assert "expected one checkpoint" in refused(harness, "eval", str(ours), str(ours), *demo_set)
    assert "the checkpoint is one of deepmil" in refused(harness, "eval", str(ours), "--set", "dsanet.lr=1", *demo_set)
    assert "does not fit deepmil here (shape: fc1.weight is [16, 24], expected [20, 24]" in refused(
        harness, "eval", str(ours), "--set", "deepmil.hidden=20", *demo_set
    )
    assert "--set deepmil.hide" in refused(harness, "eval", str(ours), "--set", "deepmil.hide=20", *demo_set)
    run = fake_run(out)  # without a checkpoint
    assert "the method of this run has no weights" in refused(harness, "eval", run.id, *demo_set)
    save_file(official(), tmp_path / "official.safetensors")
    same = str(tmp_path / "official.safetensors")
    assert "is the official file" in refused(harness, "convert", same, "--method", "deepmil", "--out", same)
    assert "expected a name that ends in .safetensors" in refused(
        harness, "convert", str(ours), "--method", "deepmil", "--out", "model.pt"
    )


def test_nan_in_weights_fails_with_exit_code_1(harness: Call, tmp_path: Path) -> None:
    torch.save(official() | {"fc3.bias": torch.tensor([torch.nan])}, tmp_path / "official.pkl")
    card = bank(tmp_path, i3d=24)
    code, stdout, stderr = harness("eval", str(tmp_path / "official.pkl"), "--method", "deepmil", "--dataset", card)
    assert (code, stdout) == (1, "")
    assert "NaN or infinite score for video v1" in stderr


def test_the_feature_set_of_the_right_width_is_taken(tmp_path: Path) -> None:
    card = DatasetCard.model_validate(yaml.safe_load(Path(bank(tmp_path, clip=8, i3d=24, twin=24, c3d=40)).read_text()))
    assert fitting_features(card, None, 40, "x") == "c3d"
    assert fitting_features(card, None, 8, "x") == "clip"
    assert fitting_features(card, "twin", 24, "x") == "twin"
    for wanted in (None, "clip"):
        with pytest.raises(UserError, match="x is made for 24-d features; small/clip has 8-d; --features i3d or twin"):
            fitting_features(card, wanted, 24, "x")
    with pytest.raises(UserError, match=r"x is made for 7-d features; small/clip has 8-d$"):
        fitting_features(card, None, 7, "x")


def test_weights_that_hear_take_a_set_with_as_much_sound() -> None:
    card = find_card("xd-violence")
    assert fitting_features(card, None, 1152, "x", 128) == fitting_features(card, None, 1152, "x") == "i3d-vggish"
    wrong = (
        r"x is made for 1152-d \(64 of the sound\) features; xd-violence/i3d-vggish has 1152-d \(128 of the sound\)$"
    )
    with pytest.raises(UserError, match=wrong):
        fitting_features(card, "i3d-vggish", 1152, "x", 64)


def test_another_text_tower_is_said(harness: Call, tmp_path: Path) -> None:
    small = {"visual_length": 8, "decoder_depth": 1, "visual_layers": 1, "text_adapt_until": 1}
    tower = load_text_tower(None)
    config = DSANet.Config(**small)
    model = DSANet(config, Task("small", ("Normal", "Fight"), ("normal", "fight"), 512, tower))
    path, card = tmp_path / "dsanet.safetensors", bank(tmp_path, clip=512)
    for name, expected in {
        tower.name: "",
        "clip@1": f"warning: dsanet.safetensors was trained with the text tower clip@1; this is {tower.name}",
        "": f"warning: dsanet.safetensors is run with the text tower {tower.name}; give the one",
    }.items():
        header = Header(method="dsanet", config=config.model_dump(), dim=512, text_tower=name)
        save_checkpoint(path, header, model.saved_state())
        code, _, stderr = harness("eval", str(path), "--dataset", card, "--json")
        assert code == 0, stderr
        assert expected in stderr
        assert ("warning" in stderr) == bool(expected)


def test_older_records_were_trained_and_keep_their_identity() -> None:
    result = fake_result()
    spec = result.spec
    assert spec is not None
    old = spec.model_dump(exclude={"checkpoint"})
    assert RunSpec(**old).identity == spec.identity
    assert spec.model_copy(update={"checkpoint": "abc"}).identity != spec.identity
    assert RunResult.model_validate(result.model_dump(exclude={"origin"})).origin == "trained"
