"""Who meets in `harness compare`: from the words of the command to sets of predictions, short names, ground truth.

A word is a run (its directory, or its id below --out), a method (all its runs below --out), a checkpoint, METHOD:FILE
for official weights, or a prediction file. ONE+OTHER stands for the seeds of one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from harness.comparison.sources import CompareRequest, Source, check_one_setting, sources_of
from harness.comparison.statistics import Side
from harness.data.cards import find_card, known_names, open_bank
from harness.errors import UserError
from harness.metrics.saturation import saturation
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.runs.checkpoint_evaluation import Progress
from harness.runs.checkpoint_loading import Say


@dataclass(frozen=True)
class ComparedSides:
    """Sides with short, unique names, the ground truth they meet on, and what a reader must know.

    `sources` are the runs or files behind each side.
    """

    sides: tuple[Side, ...]
    sources: tuple[tuple[str, ...], ...]
    truth: GroundTruth
    cautions: tuple[str, ...]


def find_sides(request: CompareRequest, say: Say, progress: Progress) -> ComparedSides:
    """Find or compute the predictions of every side; nothing is written.

    Raises:
        UserError: a word names nothing, or runs of several settings; the sides share no ground truth.
    """
    groups = [_by_seed(sources_of(word, request, say, progress)) for word in request.sides]
    places = [tuple(source.where for source in group) for group in groups]
    everyone = [Path(where).resolve() for place in places for where in place]
    if twice := next((path for path in everyone if everyone.count(path) > 1), None):
        raise UserError(
            f"{twice}: is given twice; compare needs different sides, each a run, method, checkpoint or file"
        )
    for word, group in zip(request.sides, groups, strict=True):
        check_one_setting(word, group, request)
    _check_videos([source for group in groups for source in group])
    truth = _truth(request, [source for group in groups for source in group])
    sides, cautions = [], _notes(truth.dataset)
    cautions += [truth.undefined] if truth.undefined else []
    names = _names([_facts(group) for group in groups])
    if single := [name for name, group in zip(names, groups, strict=True) if len(group) == 1]:
        cautions.append(
            f"One set of predictions each: {', '.join(single)}. A verdict speaks of these weights, not of other seeds."
        )
    for name, group in zip(names, groups, strict=True):
        kept = [_tested(source.predictions(truth), truth) for source in group]
        sides.append(Side(name, tuple(predictions for predictions, _ in kept), _seeds(group)))
        cautions += _cautions(name, group, dropped=max(count for _, count in kept))
        cautions += dict.fromkeys(f"{name}: {flat}" for own, _ in kept if (flat := saturation(own.scores)))
    return ComparedSides(tuple(sides), tuple(places), truth, tuple(cautions))


def _check_videos(sources: Sequence[Source]) -> None:
    """Raise UserError if two sets of predictions name no video in common: which one is missing would not help."""
    first = sources[0]
    for other in sources[1:]:
        if not set(first.scores.videos) & set(other.scores.videos):
            names = " and ".join(repr(next(iter(source.scores.videos), "")) for source in (first, other))
            what = "runs" if first.result and other.result else "files"
            raise UserError(
                f"{first.where} and {other.where}: the two {what} name different videos, such as {names}; compare "
                "needs scores of one test set (where only the spelling differs, name it with --dataset)"
            )


def _notes(dataset: str) -> list[str]:
    """What the card of a data set cautions about."""
    notes = find_card(dataset).notes if dataset.partition("@")[0] in known_names() else ""
    return [notes] if notes else []


def _truth(request: CompareRequest, sources: Sequence[Source]) -> GroundTruth:
    """That of the data set that was named, else the one that the sides bring along."""
    if request.card is not None and request.root is None:
        used = [source.result.features for source in sources if source.result]
        features = request.features or next((name for name in used if name in request.card.features), None)
        return open_bank(request.card, features).truth()
    own = [(source.where, source.truth) for source in sources if source.truth]
    if not own:
        raise UserError("no side brings ground truth; name the data set with --dataset")
    first, truth = own[0]
    for where, other in own[1:]:
        if (other.videos, other.classes) != (truth.videos, truth.classes):
            hint = "of other videos or annotations" if request.root else "name the data set with --dataset"
            raise UserError(f"{first} and {where} have different ground truth; {hint}")
    return truth


def _tested(predictions: Predictions, truth: GroundTruth) -> tuple[Predictions, int]:
    """Predictions without the videos that the ground truth excludes by name, and how many these were."""
    kept = [index for index, name in enumerate(predictions.videos) if name not in truth.excluded]
    dropped = len(predictions.videos) - len(kept)
    if not dropped:
        return predictions, 0
    rows = np.concatenate([np.arange(len(predictions.scores))[predictions.rows(index)] for index in kept])
    lengths = np.diff(predictions.offsets)[kept]
    shortened: dict[str, Any] = {
        "videos": tuple(predictions.videos[index] for index in kept),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "scores": predictions.scores[rows],
        "class_probs": None if predictions.class_probs is None else predictions.class_probs[rows],
    }
    return replace(predictions, **shortened), dropped


def _by_seed(group: list[Source]) -> list[Source]:
    """Runs in the order of their seeds, so that sides with the same ones meet in pairs; files as they are."""
    return sorted(group, key=lambda source: source.result.seed if source.result else 0)


def _seeds(group: Sequence[Source]) -> tuple[int, ...]:
    """The seeds that a method was trained with here; empty for files and given weights."""
    results = [source.result for source in group]
    trained = [result.seed for result in results if result is not None and result.selection != "given"]
    return tuple(trained) if len(trained) == len(group) else ()


def _facts(group: Sequence[Source]) -> tuple[str, ...]:
    """What names a side: what its sources share, joined where they differ."""
    columns = zip_longest(*(source.facts for source in group), fillvalue="")
    return tuple("+".join(dict.fromkeys(filter(None, column))) for column in columns)


def _names(facts: Sequence[tuple[str, ...]]) -> list[str]:
    """The first fact of each; where several share it, further facts that tell them apart."""
    names = []
    for own in facts:
        rivals = [other for other in facts if other[0] == own[0]]
        parts = [own[0]]
        for index in range(1, max(map(len, rivals))):
            column = [other[index] if index < len(other) else "" for other in rivals]
            if len(rivals) > 1 and len(set(column)) > 1:
                mine = own[index] if index < len(own) else ""
                parts.append(mine)
                rivals = [other for other, value in zip(rivals, column, strict=True) if value == mine]
        names.append(" ".join(filter(None, parts)))
    return names


def _cautions(name: str, group: Sequence[Source], dropped: int) -> list[str]:
    found = []
    rules = {source.result.selection for source in group if source.result}
    if rules & {"oracle", "paper"}:
        found.append(f"{name} chose its weights on the test set, which flatters it.")
    found += dict.fromkeys(f"{name}: {note}" for source in group for note in source.notes)
    if dropped:
        found.append(f"{name}: {dropped} videos left out that the data set has no features for.")
    return found
