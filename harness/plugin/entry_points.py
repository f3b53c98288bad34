"""Entry points of a group, ours and third parties': a bad one breaks nothing but itself."""

from __future__ import annotations

import contextlib
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from harness.errors import BrokenMethod, one_line
from harness.field_errors import reason
from harness.plugin.card import MethodCard


def entries(group: str, ours: tuple[str, ...]) -> tuple[dict[str, EntryPoint], dict[str, str]]:
    """Return the entry points of a group by name, and one line for each that cannot be taken, by what tells it apart.

    A name belongs to the entry whose module begins with one of `ours`, else to the first that claims it.
    """
    taken: dict[str, EntryPoint] = {}
    problems: dict[str, str] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: not entry.value.startswith(ours)):
        if entry.pattern.match(entry.value) is None:
            problems[entry.name] = f"plugin {entry.name}: its entry point must be MODULE:CLASS, got {entry.value!r}"
        elif taken.setdefault(entry.name, entry).value != entry.value:
            who = f"{entry.name} ({entry.value})"
            problems[who] = f"plugin {who}: the name is taken by {taken[entry.name].value}; choose another"
    return taken, problems


def loaded(entry: EntryPoint, who: str) -> Any:
    """Import what an entry point names and return it; what its module prints goes to standard error.

    Raises:
        BrokenMethod: it cannot be imported, whatever it raised; the text begins with `who`.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return entry.load()
    except (Exception, SystemExit) as error:
        origin = getattr(sys.modules.get(entry.module.split(".")[0]), "__file__", None)
        shadow = f"; the package imported is {origin}" if origin and isinstance(error, ImportError) else ""
        raise BrokenMethod(f"{who}: {entry.value} cannot be imported ({_reason(error)}){shadow}") from error


def _reason(error: BaseException) -> str:
    if not isinstance(error, ValidationError):
        return one_line(error)
    first = error.errors()[0]
    field = ".".join(map(str, (error.title, *first["loc"])))
    known = MethodCard.model_fields if error.title == MethodCard.__name__ else ()
    got = "" if first["type"] == "extra_forbidden" else f", got {first['input']!r}"
    return f"{field}: {reason(first, known)}{got}"[:300]
