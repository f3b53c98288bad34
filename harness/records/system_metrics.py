"""What a machine was busy with while a run was computed on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from harness.errors import UserError
from harness.io.atomic import read_json
from harness.records.model import Moment, Record

FILE = "system_metrics.json"
_Real = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]


class SystemMetrics(Record):
    """Samples in the order of time: milliseconds since 1970, and the values of each metric by MLflow's name for it."""

    times: tuple[Moment, ...]
    values: dict[str, tuple[_Real, ...]]

    @model_validator(mode="after")
    def _aligned(self) -> SystemMetrics:
        if any(len(values) != len(self.times) for values in self.values.values()):
            raise ValueError("each metric needs one value for each time")
        return self


def read_system_metrics(path: Path) -> SystemMetrics:
    """Return the samples in `path`.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        return SystemMetrics.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {error.errors()[0]['msg']}; expected samples of a machine") from error
