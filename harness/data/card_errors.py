"""Everything that is wrong with a card's fields in one line, with the field that an unknown one was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.printable import shortened


def explain(error: ValidationError, card: type[BaseModel]) -> str:
    """Return what is wrong with a card: its missing fields, unknown ones with the nearest known one, and the rest."""
    found = error.errors()
    missing = [each["loc"] for each in found if each["type"] == "missing"]
    parts = []
    if missing:
        plural = "s" if len(missing) > 1 else ""
        parts.append(f"field{plural} {', '.join(map(_dotted, missing))} missing (required)")
    for each in found:
        loc = each["loc"]
        if each["type"] == "extra_forbidden":
            lacking = [other[-1] for other in missing if other[:-1] == loc[:-1]]
            near = _nearest(str(loc[-1]), map(str, lacking), _fields(card, loc[:-1]))
            hint = f", did you mean {near}?" if near else ""
            parts.append(f"field {_dotted(loc)} is not known{hint}")
        elif each["type"] != "missing":
            parts.append(f"field {_dotted(loc)}: {each['msg']}" if loc else each["msg"])
    return "; ".join(parts)


def _dotted(loc: Iterable[int | str]) -> str:
    return ".".join(shortened(str(step)) for step in loc)


def _nearest(word: str, lacking: Iterable[str], known: Iterable[str]) -> str:
    """The field that was meant: one that lacks, sooner than one that may be there; "" if none is near."""
    for pool, cutoff in ((list(lacking), 0.5), (list(known), 0.6)):
        begun = [name for name in pool if word.startswith(name) or name.startswith(word)]
        if close := begun or difflib.get_close_matches(word, pool, n=1, cutoff=cutoff):
            return close[0]
    return ""


def _fields(card: type[BaseModel], loc: Iterable[int | str]) -> list[str]:
    """Names of the fields of the part of a card at `loc`."""
    part = card
    for step in loc:
        field = part.model_fields.get(str(step))
        inner = _part_in(field.annotation) if field else None
        part = inner or part  # a key or an index leads to no other part
    return list(part.model_fields)


def _part_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for inner in get_args(annotation) if (part := _part_in(inner))), None)
