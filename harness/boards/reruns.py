"""What training again gave: the content of `reruns/ID-SEQ.json`, and the rule by which it counts as the same."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.boards.record import ID
from harness.errors import UserError
from harness.submissions.archive import plain

RERUN = re.compile(r"(?P<id>[0-9a-f]{16})-(?P<sequence>[0-9]{1,4})\.json")
# Sums in another order, on another machine.
_EXACT = 1e-9

Outcome = Literal["reproduced", "not reproduced", "undecided"]


class Rerun(BaseModel):
    """One row of a submission trained again.

    `recorded` and `found` are the primary metric by seed, as fractions; `difference` is the mean of `found` less that
    of `recorded`, `reach` how far it may lie from 0, None where one seed on each side leaves that open. `equal_bits`
    counts the seeds whose scores are those of the record bit for bit. `recorded_code` and `code` are hashes of the
    code of both, `by` who did it, `errors` what kept seeds from finishing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    id: Annotated[str, Field(pattern=ID)]
    row: int
    outcome: Outcome
    words: str
    metric: str
    recorded: dict[int, float]
    found: dict[int, float]
    difference: float | None
    reach: float | None
    equal_bits: int
    recorded_code: tuple[str, ...]
    code: str
    machine: dict[str, str]
    by: str
    errors: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def parse_rerun(data: bytes, where: str) -> Rerun:
    """Return what `Rerun.to_bytes` wrote; raises UserError where it is none."""
    try:
        return Rerun.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{where}: field {plain('.'.join(map(str, first['loc'])))}: {plain(first['msg'])}") from error


def reach(recorded: Sequence[float], found: Sequence[float], level: float = 0.95) -> float | None:
    """Return how far two means of the same training may lie apart; None where nothing says how seeds spread.

    Welch's interval where both sides have several seeds. Where one has a single seed, the spread of the other speaks
    for both: the single value is then one more draw of it.
    """
    from scipy.stats import t

    counts = len(recorded), len(found)
    if min(counts) > 1:
        a, b = (statistics.variance(each) / len(each) for each in (recorded, found))
        if a + b == 0:
            return 0.0
        freedom = (a + b) ** 2 / (a**2 / (counts[0] - 1) + b**2 / (counts[1] - 1))
        return float(t.ppf((1 + level) / 2, freedom)) * math.sqrt(a + b)
    several = max(recorded, found, key=len)
    if len(several) < 2:
        return None
    spread = statistics.stdev(several) * math.sqrt(1 + 1 / len(several))
    return float(t.ppf((1 + level) / 2, len(several) - 1)) * spread


def decided(recorded: Sequence[float], found: Sequence[float], equal_bits: int) -> tuple[Outcome, str, float | None]:
    """Return the outcome of training again, what it means in words, and `reach`."""
    if not found:
        return "not reproduced", "no seed finished", None
    far = reach(recorded, found)
    apart = abs(statistics.fmean(found) - statistics.fmean(recorded))
    points = f"{100 * apart:.2f} points apart"
    if equal_bits == len(found):
        return "reproduced", "all scores are equal bit for bit", far
    if far is None:
        same = apart <= _EXACT
        words = "the same figure from one seed" if same else f"{points}, and one seed on each side says no spread"
        return ("reproduced" if same else "undecided"), words, far
    if apart <= far + _EXACT:
        return "reproduced", f"{points}, within the {100 * far:.2f} that seeds explain", far
    return "not reproduced", f"{points}, more than the {100 * far:.2f} that seeds explain", far
