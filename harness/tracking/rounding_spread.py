"""How far rounding alone moves a run's frame AUC: a measured fact that a leaderboard shows beside its row."""

from __future__ import annotations

import contextlib
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.records.spec import RunSpec
from harness.tracking.format import Point
from harness.tracking.tracker import Tracker

# The experiment and the tag that hold spreads in MLflow.
EXPERIMENT, TAG = "stability", "harness.spread"
METRIC = "frame_auc"
# Above it, rounding decides a result: a reader of one number would take noise for a method. A fraction, 2 points.
LIMIT = 0.02


class Spread(BaseModel):
    """The frame AUC of one run and its variants, by what each is; the first is the run itself.

    `recipe` and `seed` say which run, see `RunSpec.recipe`. `failed` are variants that gave no result, with the reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    method: str
    dataset: str
    features: str
    preset: str
    selection: str
    seed: int
    values: dict[str, float]
    failed: dict[str, str] = {}

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from the spreads of other runs, see `key_of`."""
        return self.recipe, self.seed

    @property
    def low(self) -> float:
        """The least of the values."""
        return min(self.values.values())

    @property
    def high(self) -> float:
        """The largest of the values."""
        return max(self.values.values())

    @property
    def width(self) -> float:
        """From the least to the largest, a fraction."""
        return self.high - self.low

    @property
    def stable(self) -> bool:
        """Whether rounding does not decide the result; a variant that fails where the run did not says it does."""
        return self.width <= LIMIT and not self.failed

    @property
    def words(self) -> str:
        """What is wrong, for a spread that is not stable."""
        if self.failed:
            name, reason = next(iter(self.failed.items()))
            return f"its variant {name} failed: {reason}"
        return f"rounding alone moves its AUC by {100 * self.width:.1f} points, more than {100 * LIMIT:g}"

    def as_json(self) -> dict[str, Any]:
        """Its fields and what follows from them, JSON-ready."""
        derived = {name: getattr(self, name) for name in ("low", "high", "width", "stable")}
        return {**self.model_dump(mode="json"), **derived}


Spreads = dict[tuple[str, int], Spread]


def key_of(spec: RunSpec) -> tuple[str, int]:
    """What a run and the spread that was measured of it share, on any machine and with any number of threads."""
    return spec.recipe, spec.seed


def record(tracker: Tracker, spread: Spread) -> None:
    """Record a spread in MLflow, beside the runs and not among them.

    Raises:
        TrackingError: the store cannot be reached.
    """
    numbers = [Point(METRIC, value, step) for step, value in enumerate(spread.values.values())]
    name = f"{spread.method}-{spread.dataset}-s{spread.seed}"
    tracker.note(EXPERIMENT, name, {TAG: spread.model_dump_json()}, [*numbers, Point("spread", spread.width)])


def recorded(tracker: Tracker) -> Spreads:
    """Return the measured spreads by `key_of`; a later measurement counts instead of an earlier one.

    Raises:
        TrackingError: the store cannot be reached.
    """
    found: Spreads = {}
    for text in tracker.notes(EXPERIMENT, TAG):
        with contextlib.suppress(ValueError):  # of another version
            spread = Spread.model_validate_json(text)
            found[spread.key] = spread
    return found
