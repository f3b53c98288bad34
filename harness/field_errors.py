"""What pydantic finds wrong with a field, in words for whoever wrote the file or the option."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def reason(found: Mapping[str, Any], known: Iterable[str]) -> str:
    """Return what is wrong by an entry of `ValidationError.errors()`; `known` are the fields beside it."""
    if found["type"] == "extra_forbidden":
        near = nearest(str(found["loc"][-1]), known)
        return "not known" + (f", did you mean {near}?" if near else "")
    # So pydantic begins what a validator of ours says.
    text = " ".join(str(found["msg"]).split())
    return text.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the field among `known` that was meant by `word`, "" if none is near."""
    pool = list(known)
    begun = [name for name in pool if word.startswith(name) or name.startswith(word)]
    return next(iter(begun or difflib.get_close_matches(word, pool, n=1, cutoff=cutoff)), "")
