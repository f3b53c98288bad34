"""Conditions on runs, as `--where` takes them: "params.epochs > 5 and metrics.frame_auc > 0.8"; nothing is executed."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.printable import shortened
from harness.records.result import RunResult
from harness.records.spec import RunSpec

# One comparison: a field, an operator, and a value, which is quoted where it has spaces.
_CONDITION = re.compile(
    r"""\s*(?P<field>[^\s=!<>'"]+)\s*(?P<sign><=|>=|!=|==?|<|>)\s*"""
    r"""(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>[^\s'"=!<>]+))\s*"""
)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EXAMPLE = '"params.epochs > 5 and metrics.frame_auc > 0.8"'
_OF_RESULT = ("id", "status", "origin", "videos", "frames")
_PLAIN = (*_OF_RESULT, *(name for name in RunSpec.model_fields if name != "config"))
_GROUPS = ("params", "metrics", "class_auc", "cost", "provenance")
Value = float | str | None


@dataclass(frozen=True)
class Condition:
    """One comparison of a run's field with a value, which is kept as it was written."""

    field: str
    sign: str
    text: str

    def holds(self, result: RunResult) -> bool:
        """Return whether it holds for a run; a run without the field matches nothing.

        Raises:
            UserError: the field is text, which has no order.
        """
        value = value_of(result, self.field)
        if value is None:
            return False
        if self.sign in _ORDERS:
            if isinstance(value, str):
                raise UserError(f"--where: {self.field} is text ({shortened(value)!r}); {self.sign} needs a number")
            return _ORDERS[self.sign](value, float(self.text))
        number = _number(self.text)
        same = value == number if isinstance(value, float) and number is not None else _plain(value) == self.text
        return same == (self.sign == "=")


@dataclass(frozen=True)
class Where:
    """Conditions that all have to hold; `text` is what was written."""

    text: str
    conditions: tuple[Condition, ...]

    def holds(self, result: RunResult) -> bool:
        """Return whether all conditions hold for a run; raises UserError as `Condition.holds`."""
        return all(condition.holds(result) for condition in self.conditions)

    def fields(self) -> set[str]:
        """Return the fields that are compared."""
        return {condition.field for condition in self.conditions}

    def check(self, results: Sequence[RunResult]) -> None:
        """Raise UserError if none of the runs has a field, and name the nearest that they have."""
        for field in sorted(self.fields()):
            if any(value_of(result, field) is not None for result in results):
                continue
            known = sorted({name for result in results for name in names_of(result)})
            near = _near(field, known)
            group = [name for name in known if "." in field and name.partition(".")[0] == field.partition(".")[0]]
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {_some(group or known)}"
            raise UserError(f"--where {shortened(self.text)!r}: no run has {shortened(field)}; {hint}")


def parsed(text: str) -> Where:
    """Return the conditions that a text states, joined by `and`.

    Raises:
        UserError: it is none; the text says where it cannot be read.
    """
    found, place = [], 0
    while True:
        match = _CONDITION.match(text, place)
        if match is None:
            raise _unread(text, text[place:])
        value = next(part for part in (match["single"], match["double"], match["bare"]) if part is not None)
        sign = "=" if match["sign"] == "==" else match["sign"]
        if sign in _ORDERS and _number(value) is None:
            raise UserError(f"--where {shortened(text)!r}: expected a number after {sign}, got {shortened(value)!r}")
        found.append(Condition(match["field"], sign, value))
        place = match.end()
        if place == len(text):
            return Where(text, tuple(found))
        joined = re.compile(r"and\s", re.IGNORECASE).match(text, place)
        if joined is None:
            raise _unread(text, text[place:])
        place = joined.end()


def value_of(result: RunResult, field: str) -> Value:
    """Return the value of a run's field: a number, a text, or None where the run has no such field."""
    group, dot, name = field.partition(".")
    if not dot:
        holder = result if field in _OF_RESULT or result.spec is None else result.spec
        return _value(getattr(holder, field, None)) if field in _PLAIN else None
    return _value(_group(result, group).get(name))


def names_of(result: RunResult) -> list[str]:
    """Return the fields of a run."""
    grouped = [f"{group}.{name}" for group in _GROUPS for name in _group(result, group)]
    return [*(name for name in _PLAIN if value_of(result, name) is not None), *grouped]


def words_of(field: str, value: Value) -> str:
    """Return the condition that a field has this value, as it is written in a shell."""
    text = _plain(value)
    quoted = text if re.fullmatch(r"[^\s'\"=!<>]+", text) else f"'{text}'"
    return f'--where "{field} = {quoted}"'


def _group(result: RunResult, group: str) -> Mapping[str, Any]:
    if group == "params":
        return _flat(result.spec.config) if result.spec else {}
    if group == "cost":
        return result.cost.model_dump() if result.cost else {}
    found: Mapping[str, Any] = getattr(result, group) if group in _GROUPS else {}
    return found


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping, keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _value(value: Any) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list | tuple):
        return ",".join(map(_plain, map(_value, value)))
    return None if value is None else str(value)


def _plain(value: Value) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unread(text: str, rest: str) -> UserError:
    at = f"; cannot read {shortened(rest)!r}" if rest.strip() else ""
    return UserError(
        f"--where {shortened(text)!r}: expected FIELD =, !=, <, <=, > or >= VALUE, several joined by `and`, such as "
        f"{_EXAMPLE}{at}"
    )


def _near(field: str, known: Sequence[str]) -> list[str]:
    """Up to three fields that may be meant: those whose own name is near, of the same group where there are any."""
    names: dict[str, list[str]] = {}
    for name in known:
        names.setdefault(name.rpartition(".")[2], []).append(name)
    near = difflib.get_close_matches(field.rpartition(".")[2], names, n=3)
    found = [name for own in near for name in names[own]]
    same = [name for name in found if name.partition(".")[0] == field.partition(".")[0]]
    return (same or found)[:3]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
