"""Names that become directories: too long ones and ones of other characters end in one line, wherever they are met."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import registry
from harness.data.bank import Bank
from harness.data.card import DatasetCard
from harness.data.cards import card_names, find_card
from harness.errors import UserError
from harness.io.atomic import replacing_directory, write_json
from harness.names import LONGEST, is_card_name, is_method_name
from harness.records.request import Matrix
from harness.registry import broken_methods, method_cards, method_names, resolve
from harness.runs.matrix import LAST_SEED, plan
from harness.tracking.fields import escape
from harness.tracking.unsent_runs import UNSENT
from tests.fakes import fake_result

Call = Callable[..., tuple[int, str, str]]
LONG, LAST = "a" * (LONGEST + 1), "a" * LONGEST
REFUSED = {
    "too long": LONG,
    "far too long": "a" * 100_000,
    "a path": "a/b",
    "a way up": "..",
    "hidden": ".a",
    "empty": "",
    "an option": "-a",
    "capitals": "Set",
    "white space": "a b",
    "a line break": "a\nb",
    "a last line break": "a\n",
    "a control code": "a\x1b[31mb",
    "NUL": "a\0b",
    "a variant": "a@b",
    "other letters": "straße",
    "a file of a card": "a.yaml",
}
# What is made of a name where a card has names.
PLACES: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "data set": lambda card, name: card.update(name=name),
    "feature set": lambda card, name: card["features"].update({name: next(iter(card["features"].values()))}),
    "protocol": lambda card, name: card["protocol"]["variants"].update({name: {"rule": "whole"}}),
}


def card_with(place: str, name: str) -> dict[str, Any]:
    card = find_card("msad").model_dump(mode="json")
    PLACES[place](card, name)
    return card


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", REFUSED)
def test_a_card_with_such_a_name_is_one_line(what: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(card_with(place, REFUSED[what])))
    with pytest.raises(UserError) as caught:
        find_card(str(path))
    line = str(caught.value)
    assert f"{path}: field " in line
    assert f"at most {LONGEST} of them" in line
    assert "; got '" in line
    assert line.isprintable()
    assert len(line) < len(str(path)) + 400


@pytest.mark.parametrize("place", PLACES)
def test_a_card_may_have_the_longest_name(place: str) -> None:
    DatasetCard.model_validate(card_with(place, LAST))


def test_the_import_of_one_makes_nothing(harness: Call, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(card_with("data set", LONG)))
    code, stdout, stderr = harness("data", "import", str(path), "--root", str(tmp_path))
    assert (code, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", [LONG, "b" * 100_000, "a.b", "ünï", "a b", "-a", "all"])
def test_a_plugin_of_such_a_name_is_one_line_and_the_others_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint(name, "harness.methods.random_scores:RandomScores", registry.GROUP)
    found = {**registry._entries(), name: entry}
    monkeypatch.setattr(registry, "_entries", lambda: found)
    registry.method_class.cache_clear()
    line = broken_methods()[name]
    assert f"its name must be letters, digits, - and _, at most {LONGEST} of them, and no group; got '" in line
    assert len(line) < 400
    assert line.isprintable()
    assert "deepmil" in method_cards()
    assert name not in resolve("all")[0]
    registry.method_class.cache_clear()


def test_what_ships_has_such_names() -> None:
    assert all(map(is_card_name, card_names()))
    assert all(map(is_method_name, method_names()))
    assert not is_method_name("a" * (LONGEST + 1))


def test_the_longest_names_together_are_a_directory(tmp_path: Path) -> None:
    result = fake_result(method=LAST, dataset=f"{LAST}@{LAST}", seed=LAST_SEED, selection="oracle")
    with replacing_directory(tmp_path / result.id):
        pass
    write_json(tmp_path / UNSENT / f"{escape(result.id)}.json", {})


@pytest.mark.parametrize("seed", [-1, LAST_SEED + 1, 10**300])
def test_a_seed_that_no_directory_can_hold_is_one_line(seed: int, demo: Bank, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"expected distinct integers such as 0,1,2, from 0 to {LAST_SEED}") as caught:
        plan(Matrix(methods=("random",), seeds=(seed,)), tmp_path, threads=1)
    assert len(str(caught.value)) < 250
