"""Whether a record says what verification finds: texts and counts exactly, figures as far as sums can tell.

Not byte for byte: average precision adds up fractions, in an order that the processor's vector units choose, so two
machines differ in the last digits. Nothing that anybody could gain by fits within `EXACT`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.boards.record import Record, Resampled
from harness.submissions.archive import plain

EXACT = 1e-9
# Differences that a message lists; it counts the others.
_LISTED = 5
# Nothing depends on which version wrote a record.
_APART = {"harness"}


def differences(claimed: Record, found: Record) -> list[str]:
    """Return one line for each field of a record that says something else than was `found`."""
    a, b = (record.model_dump(mode="json", exclude=_APART) for record in (claimed, found))
    lines = list(_differences(a, b, ""))
    more = [f"{len(lines) - _LISTED} more fields differ"] if len(lines) > _LISTED else []
    return lines[:_LISTED] + more


def same_arrays(claimed: Mapping[int, Resampled], found: Mapping[int, Resampled]) -> bool:
    """Whether what rows are ranked by is what was `found`."""
    return claimed.keys() == found.keys() and all(
        claimed[number].values.shape == own.values.shape
        and np.array_equal(claimed[number].normal, own.normal)
        and np.allclose(claimed[number].values, own.values, rtol=0, atol=EXACT, equal_nan=True)
        for number, own in found.items()
    )


def _differences(claimed: Any, found: Any, place: str) -> Iterator[str]:
    if isinstance(claimed, dict) and isinstance(found, dict):
        for name in sorted({*claimed, *found}):
            where = f"{place}.{plain(name)}" if place else plain(name)
            if name not in claimed or name not in found:
                yield f"field {where}: {'is missing' if name in found else 'is not found here'}"
            else:
                yield from _differences(claimed[name], found[name], where)
    elif isinstance(claimed, list) and isinstance(found, list) and len(claimed) == len(found):
        for number, pair in enumerate(zip(claimed, found, strict=True)):
            yield from _differences(*pair, f"{place}.{number}")
    elif not _same(claimed, found):
        yield f"field {place}: is {_shown(claimed)}, here {_shown(found)}"


def _same(claimed: Any, found: Any) -> bool:
    if isinstance(claimed, float) and isinstance(found, float):
        return abs(claimed - found) <= EXACT
    return type(claimed) is type(found) and bool(claimed == found)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{plain(', '.join(str(each) for each in value[:10]))}]"
    return f"{value:.12g}" if isinstance(value, float) else plain(str(value))[:100]
