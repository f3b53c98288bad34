"""No word of pydantic's own reaches a user."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from harness.errors import UserError
from harness.field_errors import nearest, reason
from harness.methods.linear_probe import LinearProbe
from harness.registry import setting_errors


class Checked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    temperature: float = 1.0
    odd: int = 1
    even: int = 0

    @field_validator("odd")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("an odd number is expected")
        return value

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise AssertionError("an even number\nis expected")
        return value


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("temprature", 1, "not known, did you mean temperature?"),
        ("temp", 1, "not known, did you mean temperature?"),
        ("xyz", 1, "not known"),
        ("odd", 2, "an odd number is expected"),
        ("even", 1, "an even number is expected"),
    ],
)
def test_reasons(field: str, value: int, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Checked(**{field: value})
    assert reason(caught.value.errors()[0], Checked.model_fields) == expected


def test_the_nearest_of_no_fields_is_none() -> None:
    assert nearest("temperature", ()) == ""


def test_a_setting_that_a_methods_own_validator_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LinearProbe, "Config", Checked)
    expected = r"^--set linear-probe\.odd: an odd number is expected, got 4 \(settings of "
    with pytest.raises(UserError, match=expected), setting_errors(LinearProbe, "--set"):
        Checked(odd=4)
