"""A user's own data set: its card is found by name after the import, and no name is taken twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness.data.cards import card_names, find_card, known_names, open_bank
from harness.errors import UserError
from harness.paths import banks_dir, own_cards_dir
from tests.data.trees import Tree, content, ucf_tree

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


def _import(harness: Call, tree: Tree, *options: str) -> tuple[int, str]:
    code, _, stderr = harness("data", "import", tree.write_card(), "--root", str(tree.root), *options)
    return code, stderr.splitlines()[-1]


def test_an_imported_card_is_found_by_name_everywhere(harness: Call, tree: Tree) -> None:
    tree.change(notes="read this first")
    with pytest.raises(UserError, match="unknown dataset 'small-ucf'"):
        find_card("small-ucf")
    assert _import(harness, tree)[0] == 0
    assert find_card("small-ucf") == tree.card
    assert "small-ucf" in known_names()
    assert "small-ucf" not in card_names()
    for verb in ("info", "verify"):
        assert harness("data", verb, "small-ucf")[0] == 0
    rows = {row["name"]: row["status"] for row in json.loads(harness("data", "list", "--json")[1])["datasets"]}
    assert rows["small-ucf"] == "imported"
    code, stdout, stderr = harness("run", "--methods", "feature-norm", "--dataset", "small-ucf", "--dry-run", "--json")
    assert code == 0, stderr
    assert json.loads(stdout)["runs"][0]["dataset"] == "small-ucf"
    assert harness("data", "import", "small-ucf", "--root", str(tree.root))[0] == 0


def test_the_file_may_go_and_the_name_stays(harness: Call, tree: Tree) -> None:
    _import(harness, tree)
    Path(tree.write_card()).unlink()
    assert open_bank(find_card("small-ucf"), None).card.name == "small-ucf"


def test_a_bank_of_an_earlier_version_brings_its_card_along(tree: Tree) -> None:
    tree.load()
    assert not own_cards_dir().exists()
    assert find_card("small-ucf") == tree.card


def test_a_file_that_was_not_imported_is_offered(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(tree.write_card()).parent)
    with pytest.raises(UserError, match=r"unknown dataset 'small-ucf'; did you mean \./small-ucf\.yaml\?"):
        find_card("small-ucf")


def test_another_card_of_the_name_is_refused_unless_it_is_to_replace(harness: Call, tree: Tree) -> None:
    _import(harness, tree)
    before = content(open_bank(find_card("small-ucf"), None))
    tree.change(annotations={"format": "ucf", "path": "annotations.txt", "interval": "closed"})
    code, line = _import(harness, tree)
    assert code == 2
    assert "small-ucf.yaml: a data set small-ucf is imported already with another card" in line
    assert "differs in annotations.interval; give yours a name of its own (field name)" in line
    assert "--replace" in line
    assert content(open_bank(find_card("small-ucf"), None)) == before
    assert _import(harness, tree, "--replace")[0] == 0
    assert find_card("small-ucf") == tree.card
    assert content(open_bank(find_card("small-ucf"), None)) != before


def test_the_same_card_may_change_its_prose_and_gain_feature_sets(harness: Call, tree: Tree) -> None:
    _import(harness, tree)
    clip = tree.card.model_dump()["features"]["clip"]
    tree.change(title="Another title", features={"clip": clip, "other": clip})
    assert _import(harness, tree, "--features", "other")[0] == 0
    assert find_card("small-ucf").title == "Another title"
    assert sorted(path.name for path in (banks_dir() / "small-ucf").iterdir()) == ["clip", "other"]
    tree.change(features={"other": clip})
    code, line = _import(harness, tree, "--features", "other")
    assert (code, "features.clip;" in line) == (2, True)


def test_an_import_says_which_facts_of_the_card_changed(harness: Call, tree: Tree) -> None:
    def told(*options: str) -> list[str]:
        code, _, stderr = harness("data", "import", tree.write_card(), "--root", str(tree.root), *options)
        assert code == 0
        return [line for line in stderr.splitlines() if line.startswith("small-ucf: ")]

    tree.change(fps=25)
    assert told() == []
    assert told() == []
    tree.change(fps=30)
    assert told() == ["small-ucf: fps 25 -> 30"]
    clip = tree.card.model_dump()["features"]["clip"]
    tree.change(title="Another title", features={"clip": clip, "other": clip})
    assert told() == ["small-ucf: title 'Small UCF' -> 'Another title', features.other added"]
    tree.change(protocol={"primary": "frame_ap"})
    assert told("--replace") == ["small-ucf: protocol.primary 'frame_auc' -> 'frame_ap'"]
    (own_cards_dir() / "small-ucf.yaml").write_text("name: [")
    assert told() == []


def test_a_failed_import_keeps_no_card(harness: Call, tree: Tree) -> None:
    (tree.root / "test.csv").unlink()
    assert _import(harness, tree)[0] == 2
    assert "small-ucf" not in known_names()


def test_built_in_names_are_taken(harness: Call, tree: Tree) -> None:
    tree.change(name="ucf-crime")
    code, line = _import(harness, tree)
    assert code == 2
    assert "ucf-crime.yaml: the name ucf-crime is that of a built-in card" in line
    with pytest.raises(UserError, match="give it a name of its own"):
        find_card(tree.write_card())
    assert not banks_dir().exists()


def test_a_copy_of_a_built_in_card_is_that_card(tmp_path: Path) -> None:
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump(find_card("msad").model_dump(mode="json")))
    assert find_card(str(path)) == find_card("msad")


def test_a_damaged_own_card_hides_no_other(harness: Call, tree: Tree) -> None:
    _import(harness, tree)
    (own_cards_dir() / "broken.yaml").write_text("name: [")
    code, stdout, stderr = harness("data", "list", "--json")
    assert code == 0
    assert "broken.yaml" in stderr
    assert "small-ucf" in {row["name"] for row in json.loads(stdout)["datasets"]}
    code, stdout, stderr = harness("data", "info", "broken")
    assert (code, stdout) == (2, "")
    assert "broken.yaml: not a readable YAML file" in stderr


def test_all_that_is_wrong_with_a_card_comes_at_once(tree: Tree, tmp_path: Path) -> None:
    card = tree.card.model_dump(mode="json")
    card["features"]["clip"] = {"dimension": 4, "stack": True}
    card["splits"]["train"]["video"] = card["splits"]["train"].pop("videos")
    card["annotations"]["format"] = "voc"
    card["clases"] = card.pop("classes")
    card["license"] = card.pop("licence")
    del card["title"], card["source"]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(card))
    with pytest.raises(UserError) as caught:
        find_card(str(path))
    line = str(caught.value)
    for part in (
        "fields title, classes, splits.train.videos, features.clip.dim missing (required)",
        "field features.clip.dimension is not known, did you mean dim?",
        "field features.clip.stack is not known, did you mean stacked?",
        "field splits.train.video is not known, did you mean videos?",
        "field annotations.format: Input should be 'ucf', 'xd', 'msad' or 'frame-masks'",
        "field clases is not known, did you mean classes?",
        "field license is not known, did you mean licence?",
    ):
        assert part in line
    assert "\n" not in line


def test_licence_and_source_may_be_left_out(tree: Tree, tmp_path: Path) -> None:
    card = tree.card.model_dump(mode="json", exclude={"licence", "source"})
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(card))
    assert find_card(str(path)).digest == tree.card.digest
    path.write_text("- 1\n")
    with pytest.raises(UserError, match=r"mine\.yaml: no dataset card; expected fields such as name"):
        find_card(str(path))
