"""Everything that is wrong with a card's fields in one line, with the field that an unknown one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.field_errors import nearest, reason
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
            word, known = str(loc[-1]), _fields(card, loc[:-1])
            # What lacks was sooner meant than what may be there.
            near = nearest(word, map(str, lacking), cutoff=0.5) or nearest(word, known)
            hint = f", did you mean {near}?" if near else f"; known: {', '.join(known)}"
            parts.append(f"field {_dotted(loc)} is not known{hint}")
        elif each["type"] != "missing":
            got = f", got {shortened(repr(each['input']))}" if each["type"] == "literal_error" else ""
            parts.append(f"field {_dotted(loc)}: {reason(each, ())}{got}" if loc else reason(each, ()))
    return "; ".join(parts)


def _dotted(loc: Iterable[int | str]) -> str:
    return ".".join(shortened(str(step)) for step in loc)


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
