"""Names -> methods, through the entry-point group `harness.methods`; ours and third parties' by the same door."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import BrokenMethod, UserError
from harness.field_errors import reason
from harness.names import METHOD_NAMES, is_method_name
from harness.plugin.card import MethodCard, card_in_source
from harness.plugin.entry_points import entries, loaded
from harness.printable import shortened

if TYPE_CHECKING:
    from harness.plugin.method import Method

GROUP = "harness.methods"
_OURS = ("harness.methods.",)
GROUPS = ("all", "mil", "clip", "floor")


@cache
def _entries() -> dict[str, EntryPoint]:
    return entries(GROUP, _OURS)[0]


def registered_entries() -> tuple[EntryPoint, ...]:
    """Entry points of all registered methods; each knows its distribution."""
    return tuple(_entries().values())


def is_ours(name: str) -> bool:
    """Return whether the method registered as `name` ships with the harness; False if there is none."""
    entry = _entries().get(name)
    return entry is not None and entry.value.startswith(_OURS)


def method_names() -> tuple[str, ...]:
    """Names of all registered methods, sorted."""
    return tuple(sorted(_entries()))


@cache
def method_class(name: str) -> type[Method]:
    """Return the class registered as `name` (no aliases).

    Raises:
        KeyError: nothing is registered under that name.
        BrokenMethod: it cannot be imported, is no `harness.plugin.method.Method`, or its attributes are of wrong types.
    """
    entry = _entries()[name]
    from harness.plugin.contract import check_class
    from harness.plugin.process_state import ProcessState

    before = None if is_ours(name) else ProcessState()
    try:
        cls = check_class(loaded(entry, f"method {name}"), f"method {name} ({entry.value})")
    finally:
        # Torch computes in workers alone; with the rest, this process plans and scores.
        changed = before.put_back(but=("torch", "sys")) if before is not None else []
    if changed:
        # So that it is refused again when it is asked for again.
        top = entry.module.partition(".")[0]
        for loaded_name in [each for each in sys.modules if each.partition(".")[0] == top]:
            del sys.modules[loaded_name]
        raise BrokenMethod(
            f"method {name} ({entry.value}): importing it must leave other modules alone; it changes {changed[0]}"
        )
    _check_name(entry, cls.card)
    return cls


@cache
def method_card(name: str) -> MethodCard:
    """Return the card of the method registered as `name`, without importing one whose file states it plainly.

    Raises:
        KeyError, BrokenMethod: as `method_class`.
    """
    card = card_in_source(_entries()[name])
    return method_class(name).card if card is None else card


def method_cards() -> dict[str, MethodCard]:
    """Cards of the methods that can be used, by name; one whose file states the card plainly is not imported."""
    return _survey()[0]


def broken_methods(thoroughly: bool = False) -> dict[str, str]:
    """Return one line for each entry of the group that cannot be used, by its name.

    `thoroughly` also imports every third party's method whose card alone is sound.
    """
    return _survey(thoroughly)[1]


def _survey(thoroughly: bool = False) -> tuple[dict[str, MethodCard], dict[str, str]]:
    cards: dict[str, MethodCard] = {}
    owners: dict[str, str] = {}
    problems = entries(GROUP, _OURS)[1]
    # Ours first: no third party takes an alias from them.
    for name, entry in sorted(_entries().items(), key=lambda item: (not item[1].value.startswith(_OURS), item[0])):
        foreign = not entry.value.startswith(_OURS)
        try:
            card = None if thoroughly and foreign else card_in_source(entry)
            if card is None:
                card = method_class(name).card
            _check_name(entry, card)
            for alias in card.aliases:
                if owner := (alias if alias in (*GROUPS, *_entries()) else owners.get(alias)):
                    raise BrokenMethod(f"method {name} ({entry.value}): its alias {alias!r} is taken by {owner}")
        except BrokenMethod as error:
            problems[name] = str(error)
            continue
        owners |= dict.fromkeys(card.aliases, name)
        cards[name] = card
    return dict(sorted(cards.items())), problems


def _check_name(entry: EntryPoint, card: MethodCard) -> None:
    who = f"method {shortened(entry.name)} ({entry.value})"
    if not is_method_name(entry.name) or entry.name in GROUPS:
        raise BrokenMethod(f"{who}: its name must be {METHOD_NAMES}, and no group; got {shortened(repr(entry.name))}")
    if card.name != entry.name:
        raise BrokenMethod(
            f"{who}: its entry point and its card must give one name; got {entry.name!r} and {card.name!r}"
        )


def resolve(text: str) -> tuple[dict[str, bool], list[str]]:
    """Resolve a comma-separated list of names, aliases and groups (`all`, `mil`, `clip`, `floor`).

    Returns:
        Method names in order, each with whether it was named itself (not only through a group), and the words.

    Raises:
        UserError: a word is neither; the text lists near names.
        BrokenMethod: a word names a method that cannot be used.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words and all(is_ours(word) and word not in GROUPS for word in words):
        return dict.fromkeys(words, True), words  # reading the cards of all methods takes longer than the rest
    cards = method_cards()
    aliases = {alias: name for name, card in cards.items() for alias in card.aliases}
    chosen: dict[str, bool] = {}
    for word in words:
        if word in cards or word in aliases:
            chosen[word if word in cards else aliases[word]] = True
            continue
        members = [name for name, card in cards.items() if word in ("all", card.family)]
        if not members:
            raise _unknown(word, [*cards, *aliases, *GROUPS])
        for name in members:
            chosen.setdefault(name, False)
    if not chosen:
        raise UserError("--methods is empty; name at least one method, see `harness list methods`")
    return chosen, words


def _unknown(word: str, known: list[str]) -> UserError:
    broken = broken_methods()
    if word in broken:
        return BrokenMethod(broken[word])
    near = difflib.get_close_matches(word, known, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    rest = f". {len(broken)} installed cannot be used, see `harness list methods`" if broken else ""
    install = "; a method of your own is known once its package is installed (`pip install -e DIR`)"
    return UserError(f"unknown method {word!r}{hint} Known: {', '.join(sorted(known))}{install}{rest}")


def one_method(text: str) -> str:
    """Return the name of the one method that a name or alias stands for.

    Raises:
        UserError: it is unknown, a group or a list.
    """
    chosen, words = resolve(text)
    if len(words) != 1 or not all(chosen.values()):
        raise UserError(f"--method {text}: expected one method, see `harness list methods`")
    return next(iter(chosen))


def check_preset(cls: type[Method], preset: str, *others: str) -> None:
    """Raise UserError if a method has presets but not this one; `others` are names that it may lack.

    A method without presets has the same settings under every name.
    """
    known = {"paper", *cls.presets}
    if cls.presets and preset not in {*known, *others}:
        raise UserError(f"method {cls.card.name} has no preset {preset!r}; it has {', '.join(sorted(known))}")


def changed_settings(method: str, family: str, preset: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a config, in JSON's types, that its method, family of data sets and preset do not imply.

    These are all of them where the method is not installed.
    """
    try:
        implied = method_class(method).configure(family, preset, {}).model_dump(mode="json")
    except (KeyError, UserError, ValueError):
        implied = {}
    return {key: value for key, value in config.items() if key not in implied or implied[key] != value}


@contextlib.contextmanager
def setting_errors(cls: type[Method], where: str, given: Collection[str] | None = None) -> Iterator[None]:
    """Turn a config's ValidationError into one line that begins with `where`.

    With `given`, the settings that the user chose, it is BrokenMethod if the method's own settings are wrong.
    """
    try:
        yield
    except ValidationError as error:
        first, name = error.errors()[0], cls.card.name
        key = ".".join(map(str, first["loc"]))
        known = () if len(first["loc"]) > 1 else cls.Config.model_fields
        fields, why = ", ".join(cls.Config.model_fields) or "none", reason(first, known)
        chosen = given is None or (first["loc"][0] in given if first["loc"] else bool(given))
        if not chosen and first["type"] != "missing":
            raise BrokenMethod(
                f"method {name}: its defaults, presets and ablations must fit its settings ({fields}); got {key}: {why}"
            ) from error
        wrong = first["type"] not in ("missing", "extra_forbidden")
        got = f", got {shortened(repr(first['input']))}" if wrong else ""
        raise UserError(f"{where} {name}.{key}: {why}{got} (settings of {name}: {fields})") from error
