"""The cards of users' own data sets: kept beside the banks at import, so that a name is enough from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.data.card import PROSE, DatasetCard, read_card
from harness.errors import UserError
from harness.io.atomic import write_text
from harness.paths import banks_dir, own_cards_dir


def own_names() -> tuple[str, ...]:
    """Names under which something of the user's own, or a built-in set, was imported, sorted."""
    kept = {path.stem for path in own_cards_dir().glob("*.yaml")}
    # Banks of earlier versions have no card beside them; they hold the one that they were checked against.
    return tuple(sorted(kept | {path.parent.parent.name for path in banks_dir().glob("[!.]*/[!.]*/bank.json")}))


def own_card(name: str) -> DatasetCard:
    """Return the card that was kept at import; `name` is one of `own_names`.

    Raises:
        UserError: it is damaged.
    """
    kept = own_cards_dir() / f"{name}.yaml"
    if kept.exists():
        return read_card(kept)
    newest = max(_banks(name), key=lambda path: path.stat().st_mtime)
    return read_card(newest / "card.yaml")


def keep_card(card: DatasetCard, source: Path) -> None:
    """Keep a copy of the file `source` under the card's name; it is found by that name from now on."""
    write_text(own_cards_dir() / f"{card.name}.yaml", source.read_text(encoding="utf-8"))


def check_same(card: DatasetCard, where: str) -> None:
    """Raise UserError where banks were imported under the card's name with another card, which an import would replace.

    `where` is the file of the card. Prose may differ, and feature sets may have come.
    """
    for path in _banks(card.name):
        try:
            imported = read_card(path / "card.yaml")
        except UserError:  # a damaged bank is nothing to keep
            continue
        features = path.name
        if features in card.features and card.digest_of(features) == imported.digest_of(features):
            continue
        raise UserError(
            f"{where}: a data set {card.name} is imported already with another card, which differs in "
            f"{', '.join(_differences(card, imported)) or 'its version'}; give yours a name of its own (field name), "
            "or put it in the other's place with --replace"
        )


def _banks(name: str) -> list[Path]:
    return [path.parent for path in sorted(banks_dir().glob(f"{name}/[!.]*/bank.json"))]


def _differences(one: DatasetCard, other: DatasetCard) -> list[str]:
    """Fields in which two cards differ, but for prose."""
    left, right = (card.model_dump(mode="json", exclude=PROSE) for card in (one, other))
    return [inner for field in left for inner in _unequal(field, left[field], right[field])]


def _unequal(name: str, left: Any, right: Any) -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = dict.fromkeys([*left, *right])
        return [inner for key in keys for inner in _unequal(f"{name}.{key}", left.get(key), right.get(key))]
    return [name] if left != right else []
