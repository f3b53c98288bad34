"""The verifier's own test set for a submitted run: from the imported bank, else from annotation files alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.annotated import AnnotatedSet, read_annotated
from harness.data.bank import Bank, bank_path
from harness.data.card import DatasetCard
from harness.data.cards import find_card, known_names, open_bank
from harness.errors import UserError
from harness.names import is_card_name
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.truth import GroundTruth
from harness.scoring.rows import misfits
from harness.submissions.archive import plain


@dataclass(frozen=True)
class OwnTest:
    """The card of a test set, the hash of its imported features, and its ground truth.

    `feature_hash` is "" where there are annotation files alone. `problems` says which videos or rows the submitted
    predictions have that they should not, or lack; `truth` may then be None. `glances` is the hash of the clicks that
    were imported with the features, "" without any.
    """

    card: DatasetCard
    feature_hash: str
    truth: GroundTruth | None
    problems: tuple[str, ...] = ()
    glances: str = ""


class Unverifiable(UserError):
    """Nothing here says what the right test set is; the text says what is missing."""


def own_test(
    result: RunResult,
    predictions: Predictions,
    card: DatasetCard | None = None,
    roots: Sequence[Path] = (),
    imported: bool = True,
) -> OwnTest:
    """Return this harness's test set for a submitted run; `card` counts in place of the one of the run's data set.

    Annotation files in one of `roots` count where the features have not been imported. Without `imported`, banks that
    were imported here do not count; what a card generates still does.

    Raises:
        Unverifiable: the data set has neither been imported nor are its annotation files in `roots`, or these alone
            cannot tell whether the run's test videos are the right ones.
    """
    base, _, variant = result.dataset.partition("@")
    # They become directories here; the run is a stranger's.
    if not all(is_card_name(word) for word in (base, result.features, variant or "none")):
        raise Unverifiable("its data set or feature set has a name that no card may have")
    try:
        if card is None and base in known_names():
            card = find_card(result.dataset)
        if card is not None and result.features not in card.features:
            return OwnTest(card, "", None, (f"other features: the card of {card.name} has no set {result.features}",))
        if card is not None and not imported and not card.features[result.features].generated:
            raise UserError(f"dataset {card.name}: what is imported here does not count")
        # A data set with somebody's own card is known by what was imported with it.
        bank = open_bank(card, result.features) if card else Bank(bank_path(base, result.features), variant)
    except UserError as error:
        if card is None:
            raise Unverifiable(
                f"dataset {result.dataset} is not known here; import it, or name the YAML file of its card with "
                "`harness verify-submission --dataset`"
            ) from error
        if not roots:
            raise Unverifiable(str(error)) from error
        return _by_annotations(card, result, predictions, roots)
    snippets = {item.video: item.snippets for item in bank.split("test").items}
    rows = _rows(predictions)
    wrong = [video for video, count in rows.items() if count != snippets.get(video)]
    problems = _other_videos(rows, snippets) or _other_rows(rows, wrong)
    return OwnTest(bank.card, bank.content_hash, bank.truth(), problems, bank.glances_hash)


def _by_annotations(card: DatasetCard, result: RunResult, predictions: Predictions, roots: Sequence[Path]) -> OwnTest:
    annotated = _read(card, roots)
    rows = _rows(predictions)
    missing = [video for video in annotated.videos if video not in rows]
    if missing and set(missing) == set(result.excluded):
        raise Unverifiable(
            f"{len(missing)} test videos of {card.name} have no scores, such as {missing[0]}, for "
            "lack of features as it says; only where these features are imported can that be checked"
        )
    if problems := _other_videos(rows, annotated.videos):
        return OwnTest(card, "", None, problems)
    try:
        truth, _ = annotated.truth({video: rows[video] if annotated.needs_snippets else None for video in rows})
    except UserError as error:  # where nothing counts frames, the rows do
        return OwnTest(card, "", None, (f"its rows do not fit the annotations: {error}",))
    # Features may lack the last part of a video, or reach a little beyond its end.
    frames = {name: video.frames for name, video in truth.videos.items()}
    return OwnTest(card, "", truth, _other_rows(rows, misfits(card.alignment, rows, frames, slack=True)))


def _read(card: DatasetCard, roots: Sequence[Path]) -> AnnotatedSet:
    problems = []
    for root in roots:
        try:
            return read_annotated(card, None, root)
        except UserError as error:
            problems.append(str(error))
    raise Unverifiable(problems[0])


def _rows(predictions: Predictions) -> dict[str, int]:
    return dict(zip(predictions.videos, np.diff(predictions.offsets).tolist(), strict=True))


def _other_videos(rows: Mapping[str, int], expected: Collection[str]) -> tuple[str, ...]:
    lacking = [video for video in expected if not rows.get(video)]
    extra = [video for video in rows if video not in expected]
    return (
        *(f"lacks scores of {len(lacking)} test videos, such as {video}" for video in lacking[:1]),
        *(f"has scores of {len(extra)} videos that are no test videos, such as {plain(video)}" for video in extra[:1]),
    )


def _other_rows(rows: Mapping[str, int], wrong: Sequence[str]) -> tuple[str, ...]:
    text = "{} videos have more or fewer scores than snippets, such as {} with {}"
    return tuple(text.format(len(wrong), video, rows[video]) for video in wrong[:1])
