"""From a name or a file to a dataset card, and from a card to its imported bank."""

from __future__ import annotations

import difflib
import functools
import os
from pathlib import Path

from harness.data.bank import Bank, bank_path
from harness.data.card import DatasetCard, read_card
from harness.data.extracted import with_extracted
from harness.data.own_cards import own_card, own_names
from harness.errors import UserError
from harness.paths import cards_dir

_FILE = (".yaml", ".yml")


def card_names() -> tuple[str, ...]:
    """Names of the built-in cards, sorted."""
    return tuple(sorted(path.stem for path in cards_dir().glob("*.yaml")))


def known_names() -> tuple[str, ...]:
    """Names of the built-in cards, then of the user's own that were imported, which cannot take a built-in name."""
    built_in = card_names()
    return (*built_in, *(name for name in own_names() if name not in built_in))


def find_card(name: str) -> DatasetCard:
    """Return a built-in card or an imported own one by name, or the card in a YAML file anywhere on disk.

    `CARD@VARIANT` is the card by that protocol.

    Raises:
        UserError: there is no such card or variant, with near names; or a file takes the name of a built-in card.
    """
    base, at, variant = name.rpartition("@")
    if at and not variant.endswith(_FILE):
        return find_card(base).variant(variant)
    built_in = card_names()
    if name.endswith(_FILE):
        card = read_card(Path(name))
        if card.name in built_in and card != _read_once(cards_dir() / f"{card.name}.yaml"):
            raise UserError(
                f"{name}: the name {card.name} is that of a built-in card, and this is another one; give it a name "
                "of its own (field name)"
            )
        return card
    if name in built_in:
        return with_extracted(_read_once(cards_dir() / f"{name}.yaml"))
    if name in (names := known_names()):
        return with_extracted(own_card(name))
    near = [f"./{name}{end}" for end in _FILE if os.path.isfile(name + end)]  # a name may be too long for a file
    near = near or difflib.get_close_matches(name, names, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    raise UserError(f"unknown dataset {name!r}{hint} Known: {', '.join(names)}, or the path of a card's YAML file")


# A leaderboard asks for the same few cards at every row.
_read_once = functools.cache(read_card)


def open_bank(card: DatasetCard, features: str | None) -> Bank:
    """Return the imported bank of a card's feature set (None: its first); a generated set is made on first use.

    Raises:
        UserError: it has not been imported, or was imported with another version of the card.
    """
    name, spec = card.feature_set(features)
    if spec.generated:
        from harness.data.synthetic import generate

        return generate(card, name)
    path = bank_path(card.base_name, name)
    there = (path / "bank.json").exists()
    if there:
        bank = Bank(path, card.name.partition("@")[2])
        if bank.features_name == name and bank.card.digest_of(name) == card.digest_of(name):
            return bank
    option = "" if name == next(iter(card.features)) else f" --features {name}"
    again = f"run `harness data import {card.base_name} --root DIR{option}` (or the path of its YAML file)"
    if not there:
        made = [each for each, other in card.features.items() if other.extraction is not None]
        hint = f"; imported is {', '.join(made)} (--features)" if made else ""
        raise UserError(f"dataset {card.name}/{name} has not been imported; {again}{hint}")
    raise UserError(f"dataset {card.name}/{name} was imported with another version of its card; {again} again")


def imported_set(card: DatasetCard) -> str | None:
    """Return the first feature set of a card that has been imported, None if none has."""
    return next((name for name in card.features if (bank_path(card.base_name, name) / "bank.json").exists()), None)
