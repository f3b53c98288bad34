"""Does a submitted run hold: every metric computed again from its scores, against the ground truth that is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.data.class_maps import protocol_between
from harness.errors import UserError
from harness.metrics.protocol import Evaluation
from harness.records.result import RunResult
from harness.records.spec import RunSpec
from harness.records.truth import GroundTruth
from harness.scoring.answers import answer
from harness.submissions.archive import plain
from harness.submissions.bundle import Entry, truth_hash
from harness.submissions.own import OwnTest, Unverifiable, own_test

Verdict = Literal["accepted", "rejected", "not verified"]
# Sums in another order, on another machine.
EXACT = 1e-9
# Figures of one run that a reason lists; it counts the others.
_LISTED = 3


@dataclass(frozen=True)
class Judgement:
    """What was found of one submitted run.

    `reasons` say why it was not accepted, one line each. `truth` and `metrics` are this harness's own, None and empty
    where they could not be had. `features` is whether its feature hash was compared with an imported bank.
    """

    entry: Entry
    verdict: Verdict
    reasons: tuple[str, ...]
    truth: GroundTruth | None
    metrics: Mapping[str, float]
    features: bool


def judge(
    entry: Entry, card: DatasetCard | None = None, roots: Sequence[Path] = (), imported: bool = True
) -> Judgement:
    """Return whether a run of a submission holds; `card` is the data set it must be of, None: the one it names.

    Annotation files in one of `roots` are the ground truth where the run's features have not been imported, or where
    what was `imported` is not to count.
    """
    changed = [f"{name} was changed: its hash is not the one in the manifest" for name in entry.changed]
    false, spec = list(_inconsistent(entry, card)), entry.result.spec
    if false or spec is None:
        return Judgement(entry, "rejected", (*changed, *false), None, {}, False)
    try:
        own = own_test(entry.result, entry.predictions, card, roots, imported)
    except Unverifiable as error:
        verdict: Verdict = "rejected" if changed else "not verified"
        return Judgement(entry, verdict, (*changed, str(error)), None, {}, False)
    reasons = [*changed, *_other_identity(spec, entry.truth, own), *own.problems]
    metrics: Mapping[str, float] = {}
    if own.truth is not None and not own.problems:
        if (other := entry.predictions.classes) != own.truth.classes:
            reasons.append(f"other classes: {plain(', '.join(other))}; here {', '.join(own.truth.classes)}")
        elif entry.predictions.alignment != own.truth.alignment:
            reasons.append("its rows stand for other frames than snippets do here (alignment)")
        else:
            try:
                if spec.trained_on:
                    find_card(spec.trained_on)
            except UserError as error:  # the data set of its training is not known here
                open_question: Verdict = "rejected" if reasons else "not verified"
                return Judgement(entry, open_question, (*reasons, str(error)), own.truth, {}, False)
            found = answer(spec, entry.predictions, own.truth, card)
            metrics = found.metrics
            reasons += differences(entry.result, found, own.truth)
    verdict = "rejected" if reasons else "accepted"
    return Judgement(entry, verdict, tuple(reasons), own.truth, metrics, bool(own.feature_hash))


def differences(result: RunResult, found: Evaluation, truth: GroundTruth) -> list[str]:
    """Return one line for each kind of figure in a result that its scores do not give."""
    lines = []
    for what, claimed, own in (
        ("metrics", result.metrics, found.metrics),
        ("AUC by class", result.class_auc, found.class_auc),
        ("counts", _counts(result), _counts(found)),
    ):
        wrong = [name for name in sorted({*claimed, *own}) if not _same(claimed.get(name), own.get(name))]
        if wrong:
            shown = [f"{plain(name)} {_figure(claimed, name)}, here {_figure(own, name)}" for name in wrong]
            more = f"; {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
            lines.append(f"{what} are not those of the scores: {'; '.join(shown[:_LISTED])}{more}")
    if set(result.excluded) != set(truth.excluded):
        lines.append(f"names {len(result.excluded)} test videos without features, here they are {len(truth.excluded)}")
    return lines


def _inconsistent(entry: Entry, card: DatasetCard | None) -> Iterator[str]:
    """Where a run's own parts disagree, or it is not of the data set that was asked for."""
    result, spec = entry.result, entry.result.spec
    if result.status != "ok" or spec is None:
        yield "is no finished run"
        return
    if (result.id, spec.run_id) != (entry.id, entry.id):
        yield "its id is not the one that its settings give"
    for name in ("method", "dataset", "features", "seed", "selection"):
        if getattr(result, name) != getattr(spec, name):
            yield f"run.json says two things of its {name}"
    if card is not None and result.dataset != card.name:
        yield f"is a run on {plain(result.dataset)}, not on {card.name}"


def _other_identity(spec: RunSpec, truth: str, own: OwnTest) -> Iterator[str]:
    """Where a run was made for another test set than the one here."""
    if spec.dataset_hash != own.card.digest:
        yield f"other card of {own.card.name}: its hash is {plain(spec.dataset_hash[:12])}, here {own.card.digest[:12]}"
    if spec.protocol != (here := _protocol(spec, own.card)):
        yield f"other protocol: '{plain(spec.protocol)}', here '{here}'"
    if own.feature_hash and spec.feature_hash != own.feature_hash:
        yield f"other features: their hash is {plain(spec.feature_hash[:12])}, here {own.feature_hash[:12]}"
    if own.glances and spec.glances and spec.glances != own.glances:
        yield f"other clicks: their hash is {plain(spec.glances[:12])}, here {own.glances[:12]}"
    if own.truth is not None and not own.problems and truth != truth_hash(own.truth):
        yield f"other ground truth: its hash is {truth[:12]}, here {truth_hash(own.truth)[:12]}"


def _protocol(spec: RunSpec, card: DatasetCard) -> str:
    """The protocol that a run on this card has here; its own, where the data set of its training is not known here."""
    if not spec.trained_on:
        return card.protocol_of(spec.features)
    try:
        return protocol_between(find_card(spec.trained_on), card, spec.features)
    except UserError:
        return spec.protocol


def _counts(of: RunResult | Evaluation) -> dict[str, float]:
    return {"videos": of.videos, "frames": of.frames}


def _same(claimed: float | None, own: float | None) -> bool:
    return claimed is not None and own is not None and abs(claimed - own) <= EXACT


def _figure(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.12g}" if name in values else "none"
