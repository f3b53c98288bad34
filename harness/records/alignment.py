"""Which frames a snippet stands for."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Alignment(BaseModel):
    """How the T snippets of a video cover its frames.

    `stride`: snippet i covers frames [stride*i, stride*(i+1)), the last one cut at the video's end.
    `segments`: the T snippets are T uniform segments, frame f of F belongs to segment floor(fT/F); so segment i covers
    [ceil(iF/T), ceil((i+1)F/T)).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["stride", "segments"]
    stride: int = 16

    def edges(self, snippets: int, frames: int) -> NDArray[np.int64]:
        """Return the frame edges `[T + 1]` of the snippets; snippet i covers [edges[i], edges[i+1])."""
        steps = np.arange(snippets + 1, dtype=np.int64)
        if self.kind == "stride":
            return np.minimum(steps * self.stride, frames)
        return -(-steps * frames // max(snippets, 1))
