"""A bank as a Hugging Face directory and back: the same bytes, and no harm done when the directory is damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import Bank
from harness.data.hf import export_bank, import_exported, is_exported
from harness.data.manifest import write_manifest
from harness.errors import UserError
from harness.io.atomic import read_json, write_json
from tests.data.trees import Tree, content, mask_tree, ucf_tree


@pytest.fixture(params=[ucf_tree, mask_tree], ids=["float32-crops", "float16-masks"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    make: Callable[[Path], Tree] = request.param
    made = make(tmp_path / "tree")
    if made.card.name == "small-masks":
        made.array("features/02_002.npy", np.zeros((0, 4), np.float16))
    return made


def test_there_and_back_is_bit_for_bit(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = tree.load().bank
    before = content(bank)
    export_bank(bank, tmp_path / "exported")
    assert is_exported(tmp_path / "exported")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "another home"))
    again = import_exported(tmp_path / "exported", tree.card)
    assert again.path != bank.path
    assert again.content_hash == bank.content_hash
    assert content(again) == before


def test_videos_of_one_snippet(tmp_path: Path) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    for file in (tree.root / "UCFClipFeatures").rglob("*.npy"):
        np.save(file, np.load(file)[:1])
    tree.text("annotations.txt", "Abuse028_x264 Abuse 3 9 -1 -1", "Arrest001_x264 Arrest 0 16 -1 -1")
    bank = tree.load().bank
    before = content(bank)
    export_bank(bank, tmp_path / "exported")
    assert content(import_exported(tmp_path / "exported", tree.card, "clip")) == before


def test_an_export_of_another_feature_set_is_refused(tree: Tree, tmp_path: Path) -> None:
    export_bank(tree.load().bank, tmp_path / "exported")
    with pytest.raises(UserError, match="not i3d"):
        import_exported(tmp_path / "exported", tree.card, "i3d")


def test_hugging_face_reads_it_without_us(tree: Tree, tmp_path: Path) -> None:
    bank = tree.load().bank
    export_bank(bank, tmp_path / "exported")
    code = (
        "import datasets, sys\n"
        "parts = datasets.load_from_disk(sys.argv[1]).with_format('numpy')\n"
        "for part in parts.values():\n"
        "    for row in part: print(row['video'], row['crop'], *row['features'].shape)\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "exported")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    items = [item for split in ("train", "test") for item in bank.split(split).items]  # type: ignore[arg-type]
    assert done.stdout.splitlines() == [f"{item.video} {item.crop} {item.snippets} 4" for item in items]


def test_nothing_is_left_beside_the_export(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    export_bank(tree.load().bank, tmp_path / "to" / "exported")
    assert [entry.name for entry in (tmp_path / "to").iterdir()] == ["exported"]


def test_an_existing_directory_is_not_overwritten(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"mine.*exists"):
        export_bank(tree.load().bank, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()


def _another_hash(directory: Path) -> None:
    info = read_json(directory / "bank.json")
    write_json(directory / "bank.json", {**info, "hash": "0" * 64})


def _another_truth(directory: Path) -> None:
    truth = read_json(directory / "truth.json")
    truth["videos"][0]["frames"] += 1
    write_json(directory / "truth.json", truth)


def _cut(directory: Path) -> None:
    file = next((directory / "train").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _no_test_part(directory: Path) -> None:
    write_json(directory / "dataset_dict.json", {"splits": ["train"]})


def _empty_description(directory: Path) -> None:
    write_json(directory / "bank.json", {})


def _leaves_the_data_directory(directory: Path) -> None:
    write_json(directory / "bank.json", {**read_json(directory / "bank.json"), "features": "../../x"})


@pytest.mark.parametrize(
    "damage",
    [
        *(_empty_description, _leaves_the_data_directory, _another_hash, _another_truth),
        *(_cut, _no_test_part),
    ],
)
@pytest.mark.parametrize("hashed", [False, True])
def test_a_damaged_export_leaves_the_bank_alone(
    tree: Tree, tmp_path: Path, damage: Callable[[Path], None], hashed: bool
) -> None:
    bank = tree.load().bank
    before = content(bank)
    export_bank(bank, tmp_path / "exported")
    damage(tmp_path / "exported")
    if hashed:  # by somebody who damages with care
        write_manifest(tmp_path / "exported")
    with pytest.raises(UserError, match="exported") as caught:
        import_exported(tmp_path / "exported", tree.card)
    assert len(str(caught.value).splitlines()) == 1
    assert content(Bank(bank.path)) == before


def test_an_export_of_another_card_is_refused(tree: Tree, tmp_path: Path) -> None:
    export_bank(tree.load().bank, tmp_path / "exported")
    tree.change(protocol={"primary": "frame_ap"})
    with pytest.raises(UserError, match="another version of the card small-"):
        import_exported(tmp_path / "exported", tree.card)


def test_a_folder_named_datasets_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: Tree) -> None:
    bank = tree.load().bank
    (tmp_path / "shadow" / "datasets").mkdir(parents=True)
    (tmp_path / "shadow" / "datasets" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "shadow"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match=r"shadow.*not Hugging Face's"):
        export_bank(bank, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
    monkeypatch.delitem(sys.modules, "datasets")
