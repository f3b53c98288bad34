"""What a team says of its submission: who they are, and what its weights saw before they were tested."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.errors import UserError
from harness.field_errors import reason
from harness.printable import shortened

Contamination = Literal["none known", "saw test videos", "unknown"]
# Said instead of a data set, or of a text tower.
NONE = "none"
_MOST = 1 << 16

_Line = Annotated[str, Field(min_length=1, max_length=200)]


class Statement(BaseModel):
    """The content of `statement.yaml`, and of `statement.json` in a submission.

    `team` and `method` are names for people, `link` an http(s) address of paper or code, `contact` how the team is
    reached, "" for either. `training_data` lists the data sets whose videos the weights saw, pretraining included, or
    "none". `text_tower` names the text tower, or "none". `contamination` says whether the weights saw test videos, and
    `note` whatever is to be known besides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    team: _Line
    method: _Line
    link: Annotated[str, Field(max_length=500)] = ""
    contact: Annotated[str, Field(max_length=200)] = ""
    training_data: Annotated[tuple[_Line, ...], Field(min_length=1, max_length=50)]
    text_tower: _Line
    contamination: Contamination
    note: Annotated[str, Field(max_length=2000)] = ""

    @field_validator("team", "method", "text_tower")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty")
        return value

    @field_validator("link")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("expected an address that begins with https://")
        return value

    @field_validator("training_data")
    @classmethod
    def _data_or_none(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if NONE in value and len(value) > 1:
            raise ValueError(f"expected the names of data sets, or [{NONE}] alone")
        return value


def read_statement(path: Path) -> Statement:
    """Return the statement in a YAML file.

    Raises:
        UserError: it cannot be read, or fields are wrong; the text names each of them.
    """
    try:
        if path.stat().st_size > _MOST:
            raise UserError(f"{path}: has {path.stat().st_size:,} bytes, a statement has at most {_MOST:,}")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `harness board init` writes statement.example.yaml") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or no such date
        raise UserError(f"{path}: not a readable YAML file ({' '.join(str(error).split())[:200]})") from error
    return parse_statement(content, str(path))


def parse_statement(content: Any, where: str) -> Statement:
    """Return the statement that a document holds; `where` it is from is for messages.

    Raises:
        UserError: fields are wrong; the text names each of them.
    """
    if not isinstance(content, dict):
        raise UserError(f"{where}: no statement; expected the fields {', '.join(Statement.model_fields)}")
    try:
        return Statement.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {'; '.join(_problem(each) for each in error.errors()[:20])}") from error


def _problem(found: Any) -> str:
    field = shortened(".".join(map(str, found["loc"])))
    if found["type"] == "missing":
        return f"field {field}: is missing"
    if found["loc"] == ("contamination",):
        known = ", ".join(repr(word) for word in get_args(Contamination))
        return f"field {field}: expected {known}; got {shortened(repr(found['input']))}"
    why = reason(found, Statement.model_fields)
    if found["loc"] == ("training_data",) and found["type"] in ("too_short", "tuple_type"):
        why = f"expected a list of at least one data set, or [{NONE}]"
    return f"field {field}: {why}"
