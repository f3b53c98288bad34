"""From the lists of a card to checked feature files: every video once per crop, with its classes, in one split."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.data.bank import SPLITS, SplitName
from harness.data.card import DatasetCard
from harness.data.card_parts import FeatureCard
from harness.data.extracted import ExtractedFiles
from harness.data.feature_files import FeatureFile, FeatureFiles
from harness.data.lists import ListedFile, find_input, read_list
from harness.data.spelling import video_of
from harness.errors import UserError

Crops = Mapping[SplitName, "frozenset[int] | None"]
Files = FeatureFiles | ExtractedFiles
ALL_CROPS: Crops = {"train": None, "test": None}
PARTIAL = "`harness data import --partial` imports what is there"


@dataclass(frozen=True)
class Source:
    """One listed feature file. `crops` are the crops to take from it; it may be missing (`file.there`)."""

    listed: ListedFile
    file: FeatureFile
    labels: tuple[int, ...]
    crops: tuple[int, ...]
    audio: Path | None = None


@dataclass(frozen=True)
class Lack:
    """Something of a listed video that cannot be imported, and where it is listed."""

    where: str
    video: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Listed:
    """What the list of one split asks for: files that are there, those that are not, and the classes of all videos."""

    sources: Sequence[Source]
    missing: Sequence[Lack]
    labels: Mapping[str, tuple[int, ...]]


def read_sources(
    card: DatasetCard,
    features: str,
    root: Path,
    crops: Crops,
    partial: bool = False,
    extracted: Path | None = None,
) -> dict[SplitName, Listed]:
    """Return the sources of each split in the order of its list; `crops` chooses crops, None takes all.

    With `partial`, files may be missing and lists may have fewer videos than the card expects. `extracted` is the
    folder of the files where they were extracted here; lists are below `root`.

    Raises:
        UserError: a list is wrong, disagrees with the card, or names files that are not there.
    """
    spec = card.features[features]
    masks = card.annotations.path if card.annotations and card.annotations.format == "frame-masks" else ""
    files: Files = ExtractedFiles(extracted, spec) if extracted else FeatureFiles(root, spec, skip=Path(masks).name)
    rows: dict[SplitName, list[Source]] = {}
    missing: dict[SplitName, list[Lack]] = {}
    seen: dict[tuple[str, int], str] = {}
    home: dict[str, tuple[str, tuple[int, ...]]] = {}
    for split in SPLITS:
        path = find_input(root, *spec.lists.get(split, (card.splits[split].list,)))
        lines = read_list(path)
        lines = files.rows(lines) if isinstance(files, ExtractedFiles) else lines
        listed = [source for row in lines for source in _sources(card, spec, files, row)]
        for source in listed:
            _check_once(source, split, seen, home, spec)
        listed, lacking = _with_all_crops(listed, crops[split], partial)
        rows[split] = [source for source in listed if _is_there(source, spec)]
        missing[split] = [_lack(source, files) for source in listed if not _is_there(source, spec)] + lacking
    if not partial:
        _check_complete(rows, missing, root)
    found: dict[SplitName, Listed] = {}
    for split in SPLITS:
        labels = {video: labels for video, (where, labels) in home.items() if where == split}
        last = [*(source.listed.where for source in rows[split]), *(lack.where for lack in missing[split])][-1]
        _check_counts(card, split, labels, last, partial)
        if not rows[split]:
            raise UserError(f"{root}: holds no feature file of the {split} list; check --root")
        found[split] = Listed(rows[split], missing[split], labels)
    return found


def expected_rows(sources: Sequence[Source], spec: FeatureCard) -> int:
    """Return how many rows the crops of these files have by the sizes of the files, unless they are of another form.

    A header of numpy's is shorter than any row that features have in practice.
    """
    row = spec.file_dim * np.dtype(spec.dtype).itemsize * (spec.crops if spec.stacked else 1)
    found = 0
    for source in sources:
        with contextlib.suppress(OSError):
            found += len(source.crops) * (source.file.path.stat().st_size // row)
    return found


def _sources(card: DatasetCard, spec: FeatureCard, files: Files, listed: ListedFile) -> list[Source]:
    """What a row names, there or not; `crops` is empty where no crop of a video is there to say how many it has."""
    named = files.named(listed)
    unknown = not named
    if unknown:
        named = [FeatureFile(files.root / listed.name, video_of(listed.name), 0, there=False)]
    found = []
    for file in named:
        audio = files.audio(file.video, listed.where) if spec.audio else None
        if isinstance(files, ExtractedFiles):
            crops = files.crops(listed)
        else:
            crops = () if unknown else tuple(range(spec.crops)) if spec.stacked else (file.crop,)
        found.append(Source(listed, file, labels_of(card, listed, file.video), crops, audio))
    return found


def _is_there(source: Source, spec: FeatureCard) -> bool:
    return source.file.there and (source.audio is not None or not spec.audio)


def _lack(source: Source, files: Files) -> Lack:
    what = files.audio_name(source.file.video) if source.file.there else source.listed.name
    return Lack(source.listed.where, source.file.video, what)


def _check_once(
    source: Source,
    split: SplitName,
    seen: dict[tuple[str, int], str],
    home: dict[str, tuple[str, tuple[int, ...]]],
    spec: FeatureCard,
) -> None:
    """A crop of a video stands in one row of one list, and a video always has the same classes."""
    where, video, crop = source.listed.where, source.file.video, source.file.crop
    if crop >= spec.crops:
        raise UserError(f"{where}: crop {crop} of {video}, the card expects 0 to {spec.crops - 1}")
    first = seen.setdefault((video, crop), where)
    if first != where:
        raise UserError(f"{where}: {video} crop {crop} is listed twice, first at {first}")
    if home.setdefault(video, (split, source.labels)) != (split, source.labels):
        other, given = home[video]
        what = f"is also in the {other} list" if other != split else f"had other labels before ({given})"
        raise UserError(f"{where}: video {video} {what}")


def _check_complete(
    rows: Mapping[SplitName, list[Source]], missing: Mapping[SplitName, list[Lack]], root: Path
) -> None:
    """Raise UserError, once for both lists, where files are missing."""
    lacks = [lack for split in SPLITS for lack in missing[split]]
    if not lacks:
        return
    files = list(dict.fromkeys(lack.what for lack in lacks))
    names = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
    what = "1 feature file is" if len(files) == 1 else f"{len(files):,} feature files are"
    counts = ", ".join(f"{s} lacks {len(missing[s]):,} of {len(missing[s]) + len(rows[s]):,}" for s in SPLITS)
    raise UserError(f"{lacks[0].where}: {what} not under {root} ({names}): {counts}; check --root, or {PARTIAL}")


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


def _check_counts(
    card: DatasetCard, split: SplitName, videos: Mapping[str, tuple[int, ...]], where: str, partial: bool
) -> None:
    """A list has as many videos, in all and per class, as the card says; of a part, not more."""
    expected = card.splits[split]
    if len(videos) != expected.videos and not (partial and len(videos) < expected.videos):
        hint = f"; if it is not, {PARTIAL}" if len(videos) < expected.videos else ""
        raise UserError(
            f"{where}: {len(videos)} videos, the card of {card.name} expects {expected.videos} in {split}; "
            f"if the list is right, the card's `splits.{split}.videos` is wrong{hint}"
        )
    counts = Counter(card.class_names[label] for labels in videos.values() for label in labels)
    wrong = {name: n for name, n in expected.classes.items() if counts[name] != n}
    if any(counts[name] > n for name, n in wrong.items()) or (wrong and not partial):
        each = ", ".join(f"{name} {counts[name]} (expected {n})" for name, n in wrong.items())
        raise UserError(
            f"{where}: videos per class disagree with the card of {card.name} (its `splits.{split}.classes`): {each}"
        )


def _with_all_crops(
    rows: list[Source], chosen: frozenset[int] | None, partial: bool
) -> tuple[list[Source], list[Lack]]:
    """The rows of the chosen crops, and the crops that a video lacks although others of its split have them.

    Every video of a split has the same crops; a missing line would pass unseen otherwise.
    """
    held: dict[str, set[int]] = {}
    last: dict[str, str] = {}
    for row in rows:
        if row.crops:
            held.setdefault(row.file.video, set()).update(row.crops)
            last[row.file.video] = row.listed.where
    every = {crop for crops in held.values() for crop in crops}
    if chosen is not None and held and not chosen <= every:
        lacking, listed = (", ".join(map(str, sorted(some))) for some in (chosen - every, every))
        raise UserError(f"{rows[0].listed.where}: there is no crop {lacking}; the list has {listed}")
    usual = Counter(frozenset(crops) for crops in held.values()).most_common(1)[0][0] if held else frozenset()
    lacks = []
    for video, crops in held.items():
        if crops != usual and not partial:
            own, others = (", ".join(map(str, sorted(some))) for some in (crops, usual))
            raise UserError(
                f"{last[video]}: {video} has crops {own}, other videos of the list have {others}; {PARTIAL}"
            )
        wanted = every if chosen is None else chosen
        lacks += [Lack(last[video], video, f"crop {crop} of {video}") for crop in sorted(wanted - crops)]
    if chosen is None:
        return rows, lacks
    kept = [replace(row, crops=tuple(crop for crop in row.crops if crop in chosen)) for row in rows]
    return [row for row, before in zip(kept, rows, strict=True) if row.crops or not before.crops], lacks
