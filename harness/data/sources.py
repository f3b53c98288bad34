"""From the lists of a card to checked feature files: every video once per crop, with its classes, in one split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.bank import SPLITS, SplitName
from harness.data.card import DatasetCard
from harness.data.feature_files import FeatureFile, FeatureFiles
from harness.data.lists import ListedFile, find_input, read_list
from harness.errors import UserError

Crops = Mapping[SplitName, "frozenset[int] | None"]
ALL_CROPS: Crops = {"train": None, "test": None}


@dataclass(frozen=True)
class Source:
    """One listed feature file. `crops` are the crops to take from it."""

    listed: ListedFile
    file: FeatureFile
    labels: tuple[int, ...]
    crops: tuple[int, ...]
    audio: Path | None = None


def read_sources(card: DatasetCard, features: str, root: Path, crops: Crops) -> dict[SplitName, list[Source]]:
    """Return the sources of each split in the order of its list; `crops` chooses crops, None takes all.

    Raises:
        UserError: a list is wrong, disagrees with the card, or names files that are not there.
    """
    spec = card.features[features]
    masks = card.annotations.path if card.annotations and card.annotations.format == "frame-masks" else ""
    files = FeatureFiles(root, spec, skip=Path(masks).name)
    found: dict[SplitName, list[Source]] = {}
    seen: dict[tuple[str, int], str] = {}
    home: dict[str, tuple[str, tuple[int, ...]]] = {}
    for split in SPLITS:
        path = find_input(root, *spec.lists.get(split, (card.splits[split].list,)))
        rows: list[Source] = []
        missing: list[ListedFile] = []
        for listed in read_list(path):
            named = files.named(listed)
            if not named:
                missing.append(listed)
            for file in named:
                labels = labels_of(card, listed, file.video)
                if file.crop >= spec.crops:
                    last = spec.crops - 1
                    raise UserError(f"{listed.where}: crop {file.crop} of {file.video}, the card expects 0 to {last}")
                first = seen.setdefault((file.video, file.crop), listed.where)
                if first != listed.where:
                    raise UserError(f"{listed.where}: {file.video} crop {file.crop} is listed twice, first at {first}")
                if home.setdefault(file.video, (split, labels)) != (split, labels):
                    other, given = home[file.video]
                    what = f"is also in the {other} list" if other != split else f"had other labels before ({given})"
                    raise UserError(f"{listed.where}: video {file.video} {what}")
                audio = files.audio(listed.where, file.video) if spec.audio else None
                held = tuple(range(spec.crops)) if spec.stacked else (file.crop,)
                rows.append(Source(listed, file, labels, held, audio))
        if missing:
            names = ", ".join(listed.name for listed in missing[:3])
            more = ", ..." if len(missing) > 3 else ""
            raise UserError(
                f"{missing[0].where}: {len(missing)} feature files are not under {root} ({names}{more}); check --root"
            )
        _check_counts(card, split, rows)
        _check_crops(rows)
        found[split] = _chosen(rows, crops[split])
    return found


def labels_of(card: DatasetCard, listed: ListedFile, video: str) -> tuple[int, ...]:
    """Return the classes of a listed video, from the list's label, the video's name, or both where both are there.

    A number as label means normal (0) or not where the name says which class, else the class of that number.

    Raises:
        UserError: neither says a class, the class is not in the card, or the two disagree.
    """
    try:
        number = _number(listed.label)
        if not card.name_label:
            if not listed.label:
                raise UserError(f"no label, and the card of {card.name} has no `name_label` to find one in names")
            if number is not None and number < len(card.classes):
                return (number,)
            return card.class_indices(listed.label)
        named = card.class_indices(_label_in(card, video))
        if not listed.label:
            return named
        agree = (number == 0) == (named == (0,)) if number is not None else card.class_indices(listed.label) == named
    except UserError as error:
        raise UserError(f"{listed.where}: {error}") from error
    if not agree:
        says = ", ".join(card.class_names[label] for label in named)
        raise UserError(f"{listed.where}: label {listed.label!r} disagrees with the name {video}, which says {says}")
    return named


def _number(label: str) -> int | None:
    return int(label.partition(".")[0]) if re.fullmatch(r"[0-9]{1,4}(\.0+)?", label) else None


def _label_in(card: DatasetCard, video: str) -> str:
    match = re.search(card.name_label, video)
    if match is None:
        raise UserError(f"the name {video} says no class; the card of {card.name} expects {card.name_label}")
    return match.lastgroup or match[match.lastindex or 0]


def _check_counts(card: DatasetCard, split: SplitName, rows: list[Source]) -> None:
    videos = {row.file.video: row.labels for row in rows}
    expected = card.splits[split]
    where = rows[-1].listed.where
    if len(videos) != expected.videos:
        raise UserError(f"{where}: {len(videos)} videos, the card of {card.name} expects {expected.videos} in {split}")
    counts = Counter(card.class_names[label] for labels in videos.values() for label in labels)
    wrong = [f"{name} {counts[name]} (expected {n})" for name, n in expected.classes.items() if counts[name] != n]
    if wrong:
        raise UserError(f"{where}: videos per class disagree with the card of {card.name}: {', '.join(wrong)}")


def _check_crops(rows: list[Source]) -> None:
    """Every video of a split has the same crops; a missing line would pass unseen otherwise."""
    held: dict[str, set[int]] = {}
    last: dict[str, str] = {}
    for row in rows:
        held.setdefault(row.file.video, set()).update(row.crops)
        last[row.file.video] = row.listed.where
    usual = Counter(frozenset(crops) for crops in held.values()).most_common(1)[0][0]
    for video, crops in held.items():
        if crops != usual:
            own, others = (", ".join(map(str, sorted(some))) for some in (crops, usual))
            raise UserError(f"{last[video]}: {video} has crops {own}, other videos of the list have {others}")


def _chosen(rows: list[Source], crops: frozenset[int] | None) -> list[Source]:
    """The rows that hold one of the chosen crops."""
    if crops is None:
        return rows
    has = {crop for row in rows for crop in row.crops}
    if not crops <= has:
        lacking, listed = (", ".join(map(str, sorted(some))) for some in (crops - has, has))
        raise UserError(f"{rows[0].listed.where}: there is no crop {lacking}; the list has {listed}")
    kept = [
        Source(row.listed, row.file, row.labels, tuple(c for c in row.crops if c in crops), row.audio) for row in rows
    ]
    return [row for row in kept if row.crops]
