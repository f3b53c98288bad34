"""What is packed verifies elsewhere; every falsehood is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.data.bank import Bank, bank_path
from harness.io.atomic import write_json
from harness.io.digests import signed
from tests.data.trees import Tree, mask_tree
from tests.submissions.changes import (
    Harness,
    contents,
    drop_row,
    drop_video,
    edit_json,
    edit_scores,
    edit_spec,
    extra_video,
    one_score,
    rehash,
    run_of,
    swap_classes,
    verdict,
    write,
)


def test_packs_a_method_and_equal_runs_give_equal_bytes(bank: Bank, tmp_path: Path, harness: Harness) -> None:
    names = sorted(run_of(bank, tmp_path / "runs", seed=seed, classify=seed == 1).name for seed in (0, 1))
    places = ("--out", str(tmp_path / "runs"), "--to")
    for words, file in ((["random"], "a.zip"), ([names[1], str(tmp_path / "runs" / names[0])], "b.zip")):
        code, out, err = harness("submit", *words, *places, str(tmp_path / file), "--json")
        assert (code, json.loads(out)["runs"]) == (0, names), err
    data = (tmp_path / "a.zip").read_bytes()
    assert data == (tmp_path / "b.zip").read_bytes()
    assert str(tmp_path).encode() not in data
    code, out, _ = harness("verify-submission", str(tmp_path / "a.zip"), "--json")
    document = json.loads(out)
    assert (code, document["verdict"], [run["run"] for run in document["runs"]]) == (0, "accepted", names)
    for run in document["runs"]:
        stored_result = json.loads((tmp_path / "runs" / run["run"] / "run.json").read_text())
        assert run["metrics"] == stored_result["metrics"]
        assert run["features_checked"] is True


def test_only_runs_that_hold_are_packed(bank: Bank, tmp_path: Path, harness: Harness) -> None:
    directory = run_of(bank, tmp_path / "runs")
    target = ("--out", str(tmp_path / "runs"), "--to", str(tmp_path / "s.zip"))
    assert "no method with finished runs" in harness("submit", "deepmil", *target)[2]
    assert "ends in .zip" in harness("submit", "random", "--to", str(tmp_path / "s.tar"))[2]
    value = json.loads((directory / "run.json").read_text())
    write_json(directory / "run.json", signed({**value, "metrics": {**value["metrics"], "frame_auc": 0.99}}))
    code, _, err = harness("submit", "random", *target)
    assert (code, err.count("\n")) == (2, 1)
    assert "frame_auc 0.99, here" in err
    write_json(directory / "run.json", signed({**value, "status": "failed"}))
    assert "no method with finished runs" in harness("submit", "random", *target)[2]
    assert "status is failed" in harness("submit", str(directory), *target)[2]
    assert not (tmp_path / "s.zip").exists()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (one_score, "metrics are not those of the scores: "),
        (drop_video, "lacks scores of 1 test videos, such as Arrest001_x264"),
        (extra_video, "has scores of 1 videos that are no test videos, such as Bonus001"),
        (drop_row, "1 videos have more or fewer scores than snippets, such as Arrest001_x264 with 6"),
        (swap_classes, "other classes: Arrest, Abuse, Normal; here Normal, Abuse, Arrest"),
    ],
)
def test_changed_scores_are_found_by_hash_and_by_metrics(
    packed: Path, harness: Harness, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    files = contents(packed)
    edit_scores(files, edit)
    write(packed, files)
    code, reasons = verdict(harness, packed)
    assert code == 1
    assert reasons[0].startswith("predictions.npz was changed: its hash")
    assert any(line.startswith(reason) for line in reasons), reasons
    rehash(files)
    write(packed, files)
    code, again = verdict(harness, packed)
    assert (code, again) == (1, reasons[1:])


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda run: run["metrics"].update(frame_auc=0.99),
            "metrics are not those of the scores: frame_auc 0.99, here",
        ),
        (lambda run: run["metrics"].pop("map_avg"), "metrics are not those of the scores: map_avg none, here 0."),
        (lambda run: run["metrics"].update(luck=1), "metrics are not those of the scores: luck 1, here none"),
        (lambda run: run["class_auc"].update(Abuse=1), "AUC by class are not those of the scores: Abuse 1, here 0."),
        (lambda run: run.update(frames=1), "counts are not those of the scores: frames 1, here 288"),
        (lambda run: run.update(excluded=["Abuse028_x264"]), "names 1 test videos without features, here they are 0"),
        (lambda run: run["spec"].update(dataset_hash="0" * 64), "its id is not the one that its settings give"),
        (lambda run: run.update(seed=7), "run.json says two things of its seed"),
        (lambda run: run.update(status="failed"), "is no finished run"),
    ],
)
def test_changed_results_are_found(
    packed: Path, harness: Harness, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    files = contents(packed)
    edit_json(files, "run.json", edit)
    write(packed, files)
    code, reasons = verdict(harness, packed)
    assert code == 1
    assert reasons[0].startswith("run.json was changed: its hash")
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed)
    assert (code, len(reasons)) == (1, 1)
    assert reasons[0].startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feature_hash": "0" * 64}, "other features: their hash is 000000000000, here "),
        ({"features": "i3d"}, "other features: the card of small-ucf has no set i3d"),
        ({"dataset_hash": "0" * 64}, "other card of small-ucf: its hash is 000000000000, here "),
        ({"protocol": "stride, padded frames, primary frame_ap, mAP ucf"}, "other protocol: 'stride, padded frames,"),
        ({"dataset": "ucf-crime"}, "is a run on ucf-crime, not on small-ucf"),
    ],
)
def test_runs_of_another_test_set_are_rejected(
    packed: Path, tree: Tree, harness: Harness, changes: dict[str, Any], reason: str
) -> None:
    files = contents(packed)
    edit_spec(files, **changes)
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed, "--dataset", tree.write_card())
    assert (code, len(reasons)) == (1, 1)
    assert reasons[0].startswith(reason)


def test_other_annotations_are_another_test_set(packed: Path, tree: Tree, harness: Harness) -> None:
    tree.edit("annotations.txt", "8  20", "9  20")
    tree.load()
    code, reasons = verdict(harness, packed)
    assert code == 1
    kinds = [reason.partition(":")[0] for reason in reasons]
    assert kinds[:3] == ["other features", "other ground truth", "metrics are not those of the scores"]


def test_annotation_files_alone_verify(packed: Path, bank: Bank, tree: Tree, harness: Harness) -> None:
    card = tree.write_card()
    shutil.rmtree(bank.path)
    code, out, err = harness("verify-submission", str(packed))
    assert (code, err) == (2, "")
    assert "not verified: dataset small-ucf is not known here" in out
    code, reasons = verdict(harness, packed, "--dataset", card)
    assert (code, "has not been imported" in reasons[0]) == (2, True)
    by_files = ("--dataset", card, "--root", str(tree.root))
    code, out, _ = harness("verify-submission", str(packed), *by_files)
    assert code == 0
    assert "features not checked" in out
    files = contents(packed)
    edit_scores(files, drop_video)
    # Metrics and manifest may fit what is left, but a test video is missing.
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed, *by_files)
    assert (code, reasons[0].startswith("lacks scores of 1 test videos")) == (1, True)
    edit_json(files, "run.json", lambda run: run.update(excluded=["Arrest001_x264"]))
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed, *by_files)
    assert (code, "only where these features are imported can that be checked" in reasons[0]) == (2, True)


def test_variants_and_frame_counts(tmp_path: Path, harness: Harness) -> None:
    tree = mask_tree(tmp_path / "masks")
    protocol = {**tree.card.protocol.model_dump(), "variants": {"padded": {"rule": "padded"}}}
    tree.change(protocol=protocol)
    tree.load()
    directories = [run_of(Bank(bank_path("small-masks", "tracks"), name), tmp_path / "runs") for name in ("", "padded")]
    file = tmp_path / "s.zip"
    assert harness("submit", *map(str, directories), "--to", str(file))[0] == 0
    assert verdict(harness, file) == (0, [])
    shutil.rmtree(bank_path("small-masks", "tracks"))
    card = tree.write_card()
    code, reasons = verdict(harness, file, "--dataset", f"{card}@padded", "--root", str(tree.root))
    assert (code, reasons) == (1, ["is a run on small-masks, not on small-masks@padded"])
