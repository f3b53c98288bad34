"""What all records on disk share: unknown keys are errors, and nothing changes once it is made."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Milliseconds since 1970; 0 where it is not known.
Moment = Annotated[int, Field(ge=0, le=1 << 53)]


class Record(BaseModel):
    """A typed form of something that is written to disk or read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
