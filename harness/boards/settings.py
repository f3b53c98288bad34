"""The rules of one repository: the content of `board.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError
from harness.field_errors import reason
from harness.metrics.version import PROTOCOL_VERSION
from harness.printable import shortened

FILE = "board.yaml"
FORMAT = 1

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Closed(_Part):
    """What the closed division asks of a row: a selection rule, and so many seeds with scores of their own."""

    selections: Annotated[tuple[Literal["last", "val"], ...], Field(min_length=1)] = ("last", "val")
    seeds: Annotated[int, Field(ge=2, le=1000)] = 5


class Settings(_Part):
    """`protocol` is the version of the metrics, `features` the hashes of given feature sets by data set and name."""

    format: Literal[1]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    protocol: int
    closed: Closed = Closed()
    features: dict[str, dict[str, _Hash]] = {}


def parse_settings(text: str, where: str) -> Settings:
    """Return the rules that a `board.yaml` holds; `where` it is from is for messages.

    Raises:
        UserError: it is not one, or of another version of the protocol than this harness computes.
    """
    try:
        content: Any = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{where}: not a readable YAML file ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(content, dict):
        raise UserError(f"{where}: no rules of a results repository; `harness board init DIR` writes them")
    try:
        settings = Settings.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = shortened(".".join(map(str, first["loc"])))
        raise UserError(f"{where}: field {field}: {reason(first, Settings.model_fields)}") from error
    if settings.protocol != PROTOCOL_VERSION:
        raise UserError(
            f"{where}: field protocol: is {settings.protocol}, this harness computes metrics by protocol "
            f"{PROTOCOL_VERSION}; use the harness of the repository, or let a maintainer raise the field"
        )
    return settings
