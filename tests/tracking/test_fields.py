"""Everything that a result may hold survives as readable fields of a limited length."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.tracking.fields import KEY, VALUE, decode, encode, flat, lines, nested, pieces, unlined, whole

_SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_VALUES = st.recursive(
    _SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(min_size=1, max_size=20), _VALUES, max_size=5))
def test_nested_values_survive(value: dict[str, Any]) -> None:
    fields = pieces(flat(value))
    assert nested(whole(fields)) == value
    assert all(len(key) <= KEY and len(text) <= VALUE for key, text in fields.items())


@example(["\n"])
@example(["a line\n"])
@given(st.lists(st.text()))
def test_lines_survive(texts: list[str]) -> None:
    assert unlined(lines(texts)) == texts


def test_a_field_is_what_a_person_would_write() -> None:
    assert flat({"method": "deepmil", "config": {"lr": 1e-4, "layers": {"depth": 2}, "mode": "fast"}}) == {
        **{"method": "deepmil", "config.lr": "0.0001", "config.layers.depth": "2", "config.mode": "fast"},
    }
    for _ in range(2):  # also where an equal text was seen before
        assert encode("".join(["fa", "st"])) == "fast"
    assert lines(["video 1", "video 2"]) == "video 1\nvideo 2"


@pytest.mark.parametrize("text", ["1", "true", "null", "[]", '"a"', "1e5", "NaN", "{", "-", "0000", ""])
def test_a_text_stays_a_text(text: str) -> None:
    assert decode(encode(text)) == text
    assert isinstance(decode(encode(text)), str)


def test_long_values_and_keys() -> None:
    value = {"log": "x" * (2 * VALUE + 7), "deep": {"k" * 200: {"l" * 200: 1, "m": 2}}}
    fields = pieces(flat(value))
    assert [len(fields[key]) for key in ("log", "log/2", "log/3")] == [VALUE, VALUE, 7]
    assert nested(whole(fields)) == value
    assert max(map(len, fields)) <= KEY


def test_fields_that_contradict_each_other_are_no_value() -> None:
    with pytest.raises(ValueError, match="is a value"):
        nested({"config": "1", "config.lr": "2"})
