"""What all records on disk share: unknown keys are errors, and nothing changes once it is made."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A typed form of something that is written to disk or read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
