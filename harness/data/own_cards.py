"""The cards of users' own data sets: kept beside the banks at import, so that a name is enough from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.data.card import PROSE, DatasetCard, read_card
from harness.data.card_parts import FeatureCard
from harness.errors import UserError
from harness.io.atomic import write_text
from harness.paths import banks_dir, own_cards_dir
from harness.printable import shortened


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
        own = card.features.get(features) or _extracted(imported, features)
        both = card.model_copy(update={"features": {features: own}}) if own else card
        if own and both.digest_of(features) == imported.digest_of(features):
            continue
        raise UserError(
            f"{where}: a data set {card.name} is imported already with another card, which differs in "
            f"{', '.join(_differences(card, imported)) or 'its version'}; give yours a name of its own (field name), "
            "or put it in the other's place with --replace"
        )


def changes(card: DatasetCard) -> str:
    """Return which facts of the card kept under this name are others now, such as `mine: fps 25 -> 30`; "" for none."""
    if card.name not in own_names():
        return ""
    try:
        kept = own_card(card.name)
    except UserError:  # a damaged card says nothing
        return ""
    before, now = (each.model_dump(mode="json") for each in (kept, card))
    found = [_changed(*each) for each in _unequal("", before, now)]
    return f"{card.name}: {', '.join(found)}" if found else ""


def _extracted(imported: DatasetCard, features: str) -> FeatureCard | None:
    """A feature set that an imported card has because it was extracted, not because the card's file names it."""
    spec = imported.features.get(features)
    return spec if spec is not None and spec.extraction is not None else None


def _banks(name: str) -> list[Path]:
    return [path.parent for path in sorted(banks_dir().glob(f"{name}/[!.]*/bank.json"))]


def _differences(one: DatasetCard, other: DatasetCard) -> list[str]:
    """Fields in which two cards differ, but for prose."""
    left, right = (_own(card) for card in (one, other))
    return [name for name, *_ in _unequal("", left, right)]


def _own(card: DatasetCard) -> dict[str, Any]:
    """What a card's file says: feature sets that were extracted for it are none of it."""
    sets = {name: spec for name, spec in card.features.items() if spec.extraction is None}
    return card.model_copy(update={"features": sets}).model_dump(mode="json", exclude=PROSE)


def _unequal(name: str, left: Any, right: Any) -> list[tuple[str, Any, Any]]:
    """Where two trees differ: the dotted names of the innermost fields, with both values (None: not there)."""
    if isinstance(left, dict) and isinstance(right, dict):
        keys = dict.fromkeys([*left, *right])
        inside = f"{name}." if name else ""
        return [each for key in keys for each in _unequal(f"{inside}{key}", left.get(key), right.get(key))]
    return [(name, left, right)] if left != right else []


def _changed(name: str, old: Any, new: Any) -> str:
    if isinstance(old or new, (dict, list)):
        return f"{name} {'added' if not old else 'changed' if new else 'removed'}"
    return f"{name} {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shortened(repr(value), 40)
