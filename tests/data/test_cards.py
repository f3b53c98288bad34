"""From names to cards and banks; what `verify` and `info` say."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
import yaml

from harness.data.bank import Bank
from harness.data.card import DatasetCard
from harness.data.cards import card_names, find_card, open_bank
from harness.data.verify import describe, verify
from harness.errors import UserError
from harness.io.atomic import read_json, write_json
from harness.io.digests import signed
from tests.data.trees import Tree, ucf_tree

# Hashes that results already carry: a card may gain feature sets, protocols and prose, and keep them.
HASHES = {
    "demo": "e03b596bb891",
    "shanghaitech-tracks": "d4d1e49f201d",
    "ucf-crime": "d37c6cfba227",
    "ucf-crime-r3d34": "eba965d29b97",
    "xd-violence": "ef53a4027984",
}
BUILT_IN = (
    *("ucf-crime", "xd-violence", "ucf-crime-r3d34", "shanghaitech-tracks", "ucf-crime-c3d", "shanghaitech"),
    *("tad", "msad", "ubnormal", "ucsd-ped2", "cuhk-avenue"),
)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


def test_the_built_in_cards_are_listed() -> None:
    assert set(BUILT_IN) <= set(card_names())


@pytest.mark.parametrize("name", BUILT_IN)
def test_counts_of_a_built_in_card_add_up(name: str) -> None:
    card = find_card(name)
    assert card.name == name
    for split in card.splits.values():
        carried = sum(split.classes.values())
        if split.classes:
            assert carried >= split.videos if card.label_syntax == "codes" else carried == split.videos
    assert card.licence
    assert card.source


@pytest.mark.parametrize("name", HASHES)
def test_results_of_earlier_versions_keep_their_card(name: str) -> None:
    assert find_card(name).digest.startswith(HASHES[name])


def test_the_hash_is_that_of_one_feature_set() -> None:
    card = find_card("ucf-crime")
    assert card.digest == card.digest_of("clip-vit-b16") != card.digest_of("i3d-2048")


def test_the_classes_and_prompts_of_the_papers() -> None:
    assert find_card("ucf-crime").prompts[8] == "roadAccidents"
    assert find_card("xd-violence").class_names == ("A", "B1", "B2", "B4", "B5", "B6", "G")
    assert find_card("xd-violence").class_indices("B6-G-0") == (5, 6)
    assert find_card("xd-violence").protocol.primary == "frame_ap"
    assert find_card("ucf-crime-r3d34").settings_family == "ucf-crime"


def test_an_unknown_name_gets_near_names() -> None:
    with pytest.raises(UserError, match=r"unknown dataset 'ucf-crme'.*ucf-crime.*xd-violence"):
        find_card("ucf-crme")


def test_a_card_anywhere_on_disk(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree.card.model_dump(mode="json")))
    assert find_card(str(path)) == tree.card
    with pytest.raises(UserError, match=r"other\.yaml: no such dataset card"):
        find_card(str(tmp_path / "other.yaml"))


def test_a_wrong_field_of_a_card_is_named(tree: Tree, tmp_path: Path) -> None:
    content = tree.card.model_dump(mode="json")
    content["features"]["clip"]["dims"] = 4
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"mine\.yaml: field features\.clip\.dims"):
        find_card(str(tmp_path / "mine.yaml"))


def test_a_set_that_is_not_imported_says_how(tree: Tree) -> None:
    with pytest.raises(UserError, match="harness data import ucf-crime --root DIR"):
        open_bank(find_card("ucf-crime"), None)
    with pytest.raises(UserError, match="no feature set 'i3d'; it has clip"):
        open_bank(tree.card, "i3d")


def test_a_bank_of_another_card_is_refused_unless_only_prose_changed(tree: Tree) -> None:
    tree.load()
    tree.change(notes="read this first", title="Another title")
    open_bank(tree.card, None)
    tree.change(protocol={"primary": "frame_ap"})
    with pytest.raises(UserError, match=r"another version of its card.*harness data import"):
        open_bank(tree.card, None)


def test_a_whole_bank_holds(tree: Tree) -> None:
    assert verify(tree.load().bank) == []


@pytest.mark.parametrize("name", ["train.npy", "train.json", "test.npy", "test.json", "truth.json"])
def test_a_changed_or_missing_file_is_named(tree: Tree, name: str) -> None:
    bank = tree.load().bank
    file = bank.path / name
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    (problem,) = verify(bank)
    assert str(file) in problem
    assert "changed" in problem
    file.unlink()
    (problem,) = verify(bank)
    assert str(file) in problem


@pytest.mark.parametrize("name", ["train.json", "test.json", "truth.json", "bank.json", "card.yaml", "test.npy"])
def test_any_damage_to_a_bank_is_one_line_when_it_is_read(tree: Tree, name: str) -> None:
    bank = tree.load().bank
    file = bank.path / name
    whole = file.read_bytes()
    for at in range(8, min(len(whole), 1500), 3):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with contextlib.suppress(UserError):  # a flipped bit of a feature or of a hash is for `verify` to find
            describe(Bank(bank.path))
    for damaged in (b"", b"{}", b"[]", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(UserError) as caught:
            describe(Bank(bank.path))
        assert len(str(caught.value).splitlines()) == 1
        assert str(bank.path) in str(caught.value)


def test_the_description_counts_what_was_imported(tree: Tree) -> None:
    found = describe(tree.load().bank)
    assert found["splits"]["train"]["videos"] == 3
    assert found["splits"]["train"]["items"] == 6
    assert found["splits"]["train"]["snippets"] == 2 * (5 + 6 + 7)
    assert found["splits"]["test"]["classes"] == {"Normal": 1, "Abuse": 1, "Arrest": 1}
    assert (found["test_frames"], found["test_positive_frames"]) == (288, 24 + 12 + 40)
    assert found["splits"]["test"]["mean_norm"] == pytest.approx(1.9, abs=0.5)


def test_a_generated_set_of_other_code_is_made_anew(
    demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(demo_home, tmp_path / "own")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "own"))
    card = find_card("demo")
    kept = open_bank(card, None).path
    before = (kept / "bank.json").stat().st_mtime_ns
    open_bank(card, None)
    assert (kept / "bank.json").stat().st_mtime_ns == before
    info = read_json(kept / "bank.json")
    other = {**info, "origin": info["origin"].replace("generator", "other generator")}
    write_json(kept / "bank.json", signed(other))
    assert open_bank(card, None).info == info


def test_base_classes_are_abnormal_classes_of_the_card_and_no_part_of_its_hash() -> None:
    card = find_card("ucf-crime")
    assert len(card.base_classes) == 6
    assert card.model_copy(update={"base_classes": ()}).digest == card.digest
    for wrong in ("Normal", "Flood"):
        with pytest.raises(ValueError, match=f"base_classes names '{wrong}'"):
            DatasetCard.model_validate(card.model_dump() | {"base_classes": (wrong,)})
