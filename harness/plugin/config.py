"""A method's settings: typed, and within the range that makes sense for a setting of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Range:
    """Numbers from `least` up; with `above` not `least` itself, with `below` less than that."""

    least: float
    above: bool = False
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        low = value > self.least if self.above else value >= self.least
        return low and (self.below is None or value < self.below)

    def __str__(self) -> str:
        low = f"greater than {self.least:g}" if self.above else f"at least {self.least:g}"
        return low if self.below is None else f"{low} and less than {self.below:g}"


_COUNT, _NOT_NEGATIVE, _POSITIVE = Range(1), Range(0), Range(0, above=True)
# By the names that methods share. A part of a method that may be switched off by a 0 is not among them.
RANGES: Mapping[str, Range] = {
    **dict.fromkeys(("epochs", "batch", "steps_per_epoch", "segments", "length", "visual_length"), _COUNT),
    **dict.fromkeys(("heads", "visual_heads", "hidden", "feedforward", "attention_width", "embed_dim"), _COUNT),
    **dict.fromkeys(("topk_divisor", "selected_share", "attn_window", "look_every", "decay_every"), _COUNT),
    **dict.fromkeys(("lr", "online_lr", "temperature", "align_temperature", "decay", "clip_norm"), _POSITIVE),
    **dict.fromkeys(("weight_decay", "look_first", "visual_layers", "prompt_prefix"), _NOT_NEGATIVE),
    **dict.fromkeys(("dropout", "select_dropout"), Range(0, below=1)),
}


class MethodConfig(BaseModel):
    """Base of a method's typed configuration; unknown keys are errors, and numbers that are not finite.

    `ranges` says what a number may be, by the name of its field; a method that means something else by one of these
    names sets its own. `average_last` is the share of a training's steps, the last ones, whose mean weights are its
    result; 0, as in every official schedule, takes the weights of the last step. Over the first `warmup_steps` steps
    all learning rates rise in a line to what the schedule says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    ranges: ClassVar[Mapping[str, Range]] = RANGES

    average_last: float = Field(default=0.0, ge=0.0, le=1.0)
    warmup_steps: int = Field(default=0, ge=0)

    @field_validator("*")
    @classmethod
    def _in_range(cls, value: Any, about: ValidationInfo) -> Any:
        allowed = cls.ranges.get(about.field_name or "")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if allowed is not None and number and value not in allowed:
            raise PydanticCustomError("range", "Input should be {allowed}", {"allowed": str(allowed)})
        return value
