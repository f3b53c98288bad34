"""Tables of Markdown, and the fields of pydantic models as such tables."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; bars in cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def prose(docstring: str | None) -> str:
    """Return a docstring as paragraphs of Markdown, in which a star is a star and a bracket begins no link."""
    parts = inspect.cleandoc(docstring or "").split("`")
    return "`".join(part if code % 2 else re.sub(r"([*\[])", r"\\\1", part) for code, part in enumerate(parts))


def model(cls: type[BaseModel], heading: str) -> str:
    """Return the section of a model: what its docstring says, and a table of its fields."""
    return f"{heading}\n\n{prose(cls.__doc__)}\n\n{fields(cls)}\n"


def fields(cls: type[BaseModel]) -> str:
    """Return the table of a model's fields."""
    named = cls.model_fields.items()
    rows = [(f"`{name}`", type_words(field.rebuild_annotation()), default(field)) for name, field in named]
    return table(("field", "type", "default"), rows)


def default(field: Any) -> str:
    """Return a field's default as it would stand in a file; "required" if it has none."""
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else "empty"
    if isinstance(field.default, BaseModel):
        return "its defaults"
    return f"`{field.default!r}`" if field.default not in ("", (), [], {}, None) else "none"


def type_words(kind: Any) -> str:
    """Return a type in words, with the limits that its annotation states."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = [limit for part in arguments[1:] for limit in _limits(part)]
        return " ".join([type_words(arguments[0]), *limits])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_words(part) for part in arguments if part is not type(None))
    if origin in (tuple, list):
        return f"list of {type_words(arguments[0])}"
    if origin is dict:
        return f"{type_words(arguments[0])} → {type_words(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.__name__
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(kind, "any")


def _limits(part: Any) -> list[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    # pydantic gathers what Field(...) states in `metadata`.
    parts = [part, *getattr(part, "metadata", ())]
    return [f"{sign} {getattr(each, name):g}" for each in parts for name, sign in signs.items() if _states(each, name)]


def _states(part: Any, name: str) -> bool:
    """Whether a limit is one that somebody could meet."""
    limit = getattr(part, name, None)
    return isinstance(limit, int | float) and abs(limit) < 1e15
