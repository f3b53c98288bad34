"""Names -> methods, through the entry-point group `harness.methods`; ours and third parties' by the same door."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.errors import UserError
from harness.method_card import MethodCard, card_in_source

if TYPE_CHECKING:
    from harness.method import Method

GROUP = "harness.methods"


@cache
def _entries() -> dict[str, EntryPoint]:
    # Our own methods win a name that a third party also claims.
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.module.startswith("methods."))
    return {entry.name: entry for entry in found}


def entries() -> tuple[EntryPoint, ...]:
    """Entry points of all registered methods; each knows its distribution."""
    return tuple(_entries().values())


def method_names() -> tuple[str, ...]:
    """Names of all registered methods, sorted."""
    return tuple(sorted(_entries()))


@cache
def method_class(name: str) -> type[Method]:
    """Return the class registered as `name` (no aliases).

    Raises:
        UserError: it cannot be imported or is not a `harness.method.Method`.
    """
    from harness.method import Method

    entry = _entries()[name]
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        origin = getattr(sys.modules.get(entry.module.split(".")[0]), "__file__", None)
        shadow = f"; the package imported is {origin}" if origin else ""
        raise UserError(f"method {name}: {entry.value} cannot be imported ({error}){shadow}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Method)):
        raise UserError(f"method {name}: {entry.value} is not a subclass of harness.method.Method")
    return loaded


def method_cards() -> dict[str, MethodCard]:
    """Cards of all registered methods by name; methods whose file states the card plainly are not imported."""
    return {name: card_in_source(entry) or method_class(name).card for name, entry in sorted(_entries().items())}


def resolve(text: str) -> tuple[dict[str, bool], list[str]]:
    """Resolve a comma-separated list of names, aliases and groups (`all`, `mil`, `clip`, `floor`).

    Returns:
        Method names in order, each with whether it was named itself (not only through a group), and the words.

    Raises:
        UserError: a word is neither; the text lists near names.
    """
    cards = method_cards()
    aliases = {alias: name for name, card in cards.items() for alias in card.aliases}
    words = [word.strip() for word in text.split(",") if word.strip()]
    chosen: dict[str, bool] = {}
    for word in words:
        if word in cards or word in aliases:
            chosen[aliases.get(word, word)] = True
            continue
        members = [name for name, card in cards.items() if word in ("all", card.family)]
        if not members:
            known = [*cards, *aliases, "all", "mil", "clip", "floor"]
            near = difflib.get_close_matches(word, known, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UserError(f"unknown method {word!r}{hint} Known: {', '.join(sorted(known))}")
        for name in members:
            chosen.setdefault(name, False)
    if not chosen:
        raise UserError("--methods is empty; name at least one method, see `harness list methods`")
    return chosen, words


def one_method(text: str) -> str:
    """Return the name of the one method that a name or alias stands for.

    Raises:
        UserError: it is unknown, a group or a list.
    """
    chosen, words = resolve(text)
    if len(words) != 1 or not all(chosen.values()):
        raise UserError(f"--method {text}: expected one method, see `harness list methods`")
    return next(iter(chosen))


@contextlib.contextmanager
def setting_errors(cls: type[Method], where: str) -> Iterator[None]:
    """Turn a config's ValidationError into one line that begins with `where`."""
    try:
        yield
    except ValidationError as error:
        first, name = error.errors()[0], cls.card.name
        key = ".".join(map(str, first["loc"]))
        fields = ", ".join(cls.Config.model_fields) or "none"
        raise UserError(f"{where} {name}.{key}: {first['msg']} (settings of {name}: {fields})") from error
