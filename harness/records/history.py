"""What a run keeps of its training: epochs, and the looks of its selection rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError
from harness.io.atomic import read_json

# What a picture can be drawn of.
_Real = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=1 << 53)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Epoch(_Part):
    """One epoch, counted from 1, and the step it ended with: mean loss and terms, learning rates, seconds."""

    epoch: _Count
    step: _Count
    loss: _Real | None = None
    terms: dict[str, _Real] = {}
    lr: tuple[_Real, ...] = ()
    seconds: _Real | None = None


class Look(_Part):
    """What a selection rule saw after a step."""

    epoch: _Count
    step: _Count
    value: _Real


class History(_Part):
    """What `history.json` of a run holds."""

    epochs: tuple[Epoch, ...] = ()
    looks: tuple[Look, ...] = ()


def read_history(path: Path) -> History:
    """Return the history in `path`.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        return History.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise UserError(f"{path}: field {where}: {first['msg']}; expected the epochs and looks of a run") from error
