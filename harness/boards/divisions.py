"""Closed or open: what a row must be to compete under equal conditions, and in words what it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.boards.settings import Settings
from harness.errors import UserError
from harness.records.result import RunResult
from harness.records.spec import RunSpec
from harness.registry import is_ours, method_class
from harness.submissions.statement import NONE, Statement


@dataclass(frozen=True)
class Claim:
    """What a division is decided by, of the seeds that count. `given`: the features' hash is that of a bank here.

    `repeated` is how many more seeds were submitted, with the scores of these.
    """

    spec: RunSpec
    results: Sequence[RunResult]
    verified: bool
    given: bool
    repeated: int
    statement: Statement | None


def same_at_all_seeds(spec: RunSpec) -> bool:
    """Whether equal scores at several seeds are no copies: nothing is trained, or in closed form."""
    if spec.track in ("training-free", "zero-shot"):
        return True
    try:
        return is_ours(spec.method) and method_class(spec.method).card.training in ("none", "closed-form")
    except UserError:
        return False


def open_reasons(claim: Claim, settings: Settings) -> Iterator[str]:
    """Yield why a row stands in the open division; nothing for one in the closed."""
    spec, rules, said = claim.spec, settings.closed, claim.statement
    if not claim.verified:
        yield "its metrics could not be computed again here"
    listed = settings.features.get(spec.dataset.partition("@")[0], {}).get(spec.features)
    if not claim.given and listed != spec.feature_hash:
        yield f"its features are not known here ({spec.features}, hash {spec.feature_hash[:12]})"
    if spec.selection not in rules.selections:
        yield f"selection {spec.selection}, expected {' or '.join(rules.selections)}"
    if (count := len(claim.results)) < rules.seeds:
        same = f" with scores of their own ({claim.repeated} more repeat them)" if claim.repeated else ""
        yield f"{count} seed{'s' if count > 1 else ''}{same}, at least {rules.seeds} expected"
    if origins := sorted({result.origin for result in claim.results} - {"trained"}):
        yield f"not trained by the harness ({origins[0]})"
    if spec.partial or any(result.excluded for result in claim.results):
        yield "the data set is not complete"
    if said is None:
        yield "no statement of training data and text tower"
        return
    if said.contamination == "saw test videos":
        yield "its weights saw test videos"
    if spec.text_tower and said.text_tower == NONE:
        yield "its statement names no text tower, but its runs used one"
