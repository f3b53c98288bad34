"""Nested values as the flat, readable texts that MLflow keeps, and back. Knows MLflow's limits, not MLflow.

A text stands for itself, everything else for its JSON; a text that would be read as JSON is quoted. A mapping becomes a
field for each of its keys, joined by dots, and a text that is longer than one field may be goes on in `KEY/2`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# The longest key, and as much of a value as every store takes.
KEY, VALUE = 250, 4000
# What JSON may begin with, but for numbers.
_BEGINS = frozenset('"[{tfnNI-0123456789')


def escape(text: str) -> str:
    """Return `text` with every character that MLflow refuses in a key written as `:hex:`; `unescape` reverses it."""
    return re.sub(r"[^A-Za-z0-9_. -]|^[. ]|[. ]$", lambda match: f":{ord(match[0]):x}:", text)


def unescape(key: str) -> str:
    """Return the text that `escape` wrote."""
    return re.sub(r":([0-9a-f]+):", lambda match: chr(int(match[1], 16)), key) if ":" in key else key


def encode(value: Any) -> str:
    """Return a value as text; `decode` reverses it."""
    return value if isinstance(value, str) and decode(value) == value else json.dumps(value)


def decode(text: str) -> Any:
    """Return the value that `encode` wrote."""
    if text[:1] not in _BEGINS:
        return text
    return _simple(text) if text[:1] not in "[{" else _read(text)


def lines(texts: Sequence[str]) -> str:
    """Return texts as lines, or as JSON where they do not make up lines; `unlined` reverses it."""
    plain = texts and not texts[0].startswith("[") and all(text.splitlines() == [text] for text in texts)
    return "\n".join(texts) if plain else json.dumps(list(texts))


def unlined(text: str) -> list[str]:
    """Return the texts that `lines` wrote; raises ValueError for what it did not write."""
    return list(json.loads(text)) if text.startswith("[") else text.split("\n")


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a field for each value that is no mapping; `nested` reverses it."""
    found: dict[str, str] = {}
    for name, part in value.items():
        key = f"{prefix}.{_part(name)}" if prefix else _part(name)
        inner = flat(part, key) if isinstance(part, Mapping) and part else {}
        # Of keys that would be too long, the whole is one field.
        found |= inner if inner and max(map(len, inner)) <= KEY - 4 else {key: encode(part)}
    return found


def nested(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return what `flat` made fields of.

    Raises:
        ValueError: two fields contradict each other.
    """
    found: dict[str, Any] = {}
    for key, text in fields.items():
        *places, last = _path(key)
        if not places:
            found[last] = decode(text)
            continue
        inner = found
        for place in places:
            inner = inner.setdefault(place, {})
            if not isinstance(inner, dict):
                raise ValueError(f"field {key}: {place} is a value")
        inner[last] = decode(text)
    return found


def pieces(fields: Mapping[str, str]) -> dict[str, str]:
    """Return fields of which none is longer than a store takes; `whole` reverses it."""
    return {
        key if not start else f"{key}/{start // VALUE + 1}": text[start : start + VALUE]
        for key, text in fields.items()
        for start in range(0, max(len(text), 1), VALUE)
    }


def whole(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that `pieces` cut."""
    cut = {key for key in fields if "/" in key}
    if not cut:
        return dict(fields)
    return {key: "".join([text, *_rest(fields, key)]) for key, text in fields.items() if key not in cut}


def _rest(fields: Mapping[str, str], key: str) -> Iterator[str]:
    number = 2
    while (text := fields.get(f"{key}/{number}")) is not None:
        yield text
        number += 1


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# What cannot change can be shared by all that hold it: thousands of runs have the same few values.
_simple = functools.lru_cache(4096)(_read)


def _part(name: str) -> str:
    return escape(name).replace(".", ":2e:") or "::"


@functools.lru_cache(4096)
def _path(key: str) -> tuple[str, ...]:
    return tuple("" if part == "::" else unescape(part) for part in key.split("."))
