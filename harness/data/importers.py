"""From a directory of features to a checked bank. Nothing is written unless everything is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.annotations import Annotation, read_annotations
from harness.data.arrays import read_features
from harness.data.bank import SPLITS, Bank, BankWriter, Item, SplitName, bank_path
from harness.data.card import DatasetCard
from harness.data.lists import FeatureFiles, ListedFile, find_input, read_list, read_table, split_name
from harness.errors import UserError
from harness.files import replacing_directory
from harness.truth import Event, GroundTruth, VideoTruth

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImportReport:
    """What was imported: the bank, the videos left out for having no snippets, and what deserves a look."""

    bank: Bank
    excluded: Mapping[SplitName, tuple[str, ...]]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """One listed feature file."""

    listed: ListedFile
    file: Path
    video: str
    crop: int
    labels: tuple[int, ...]


def import_features(card: DatasetCard, features: str | None, root: Path, progress: Progress) -> ImportReport:
    """Check everything under `root` against the card and write the bank, replacing an earlier one.

    Raises:
        UserError: something is missing, damaged or disagrees with the card; an earlier bank stays as it was.
    """
    name, spec = card.feature_set(features)
    if spec.generated:
        raise UserError(f"dataset {card.name}/{name} is generated on first use; there is nothing to import")
    if not root.is_dir():
        raise UserError(f"--root {root}: no such directory")
    sources = _sources(card, name, root)
    labels = {source.video: source.labels for rows in sources.values() for source in rows}
    counts = _frame_counts(card, root)
    annotations: dict[str, Annotation] = {}
    if card.annotations is not None:
        annotations = read_annotations(card, find_input(root, card.annotations.path), labels)
    total = sum(map(len, sources.values()))
    done = 0
    excluded: dict[SplitName, tuple[str, ...]] = {}
    snippets: dict[str, int] = {}
    path = bank_path(card.name, name)
    with replacing_directory(path) as directory, BankWriter(directory, card, name) as writer:
        for split, rows in sources.items():
            empty: dict[str, None] = {}
            for source in rows:
                array = read_features(source.file, spec)
                _check_length(card, source, len(array), snippets, counts)
                if len(array):
                    labels_of = source.labels if split == "train" else ()
                    writer.add(split, Item(source.video, source.crop, len(array), labels_of), array)
                else:
                    empty[source.video] = None
                done += 1
                progress(done, total)
            excluded[split] = tuple(empty)
        tested = {s.video: s.labels for s in sources["test"] if snippets[s.video]}
        truth, warnings = _truth(card, tested, annotations, snippets, counts, excluded["test"])
        writer.finish(truth, excluded, f"{root.name}, {total} files")
    return ImportReport(Bank(path), excluded, tuple(warnings))


def _sources(card: DatasetCard, features: str, root: Path) -> dict[SplitName, list[_Source]]:
    files = FeatureFiles(root)
    spec = card.features[features]
    found: dict[SplitName, list[_Source]] = {}
    seen: dict[tuple[str, int], str] = {}
    home: dict[str, tuple[str, tuple[int, ...]]] = {}
    for split in SPLITS:
        path = find_input(root, card.splits[split].list)
        rows, missing = [], []
        for listed in read_list(path):
            try:
                labels = card.class_indices(listed.label)
                video, crop = split_name(listed.path, spec.crop_suffix)
            except UserError as error:
                raise UserError(f"{listed.where}: {error}") from error
            if crop >= spec.crops:
                raise UserError(f"{listed.where}: crop {crop} of {video}, the card expects 0 to {spec.crops - 1}")
            if (video, crop) in seen:
                raise UserError(f"{listed.where}: {video} crop {crop} is listed twice, first at {seen[video, crop]}")
            seen[video, crop] = listed.where
            if home.setdefault(video, (split, labels)) != (split, labels):
                other, given = home[video]
                what = f"is also in the {other} list" if other != split else f"had other labels before ({given})"
                raise UserError(f"{listed.where}: video {video} {what}")
            file = files.find(listed)
            if file is None:
                missing.append(listed)
            else:
                rows.append(_Source(listed, file, video, crop, labels))
        if missing:
            names = ", ".join(Path(listed.path.replace("\\", "/")).name for listed in missing[:3])
            more = ", ..." if len(missing) > 3 else ""
            raise UserError(f"{path}: {len(missing)} feature files are not under {root} ({names}{more}); check --root")
        _check_counts(card, split, path, rows)
        found[split] = rows
    return found


def _check_counts(card: DatasetCard, split: SplitName, path: Path, rows: list[_Source]) -> None:
    videos = {row.video: row.labels for row in rows}
    expected = card.splits[split]
    if len(videos) != expected.videos:
        raise UserError(f"{path}: {len(videos)} videos, the card of {card.name} expects {expected.videos} in {split}")
    counts = Counter(card.class_names[label] for labels in videos.values() for label in labels)
    wrong = [f"{name} {counts[name]} (expected {n})" for name, n in expected.classes.items() if counts[name] != n]
    if wrong:
        raise UserError(f"{path}: videos per class disagree with the card of {card.name}: {', '.join(wrong)}")


def _frame_counts(card: DatasetCard, root: Path) -> dict[str, int]:
    if not card.frame_counts:
        return {}
    counts: dict[str, int] = {}
    for where, row in read_table(find_input(root, card.frame_counts), ("video", "frames")):
        if not row["frames"].isdecimal() or int(row["frames"]) == 0:
            raise UserError(f"{where}: frames {row['frames']!r} is not a positive whole number")
        video, frames = row["video"].removesuffix(".mp4"), int(row["frames"])
        if counts.setdefault(video, frames) != frames:
            raise UserError(f"{where}: video {video} has {frames} frames, an earlier line says {counts[video]}")
    return counts


def _check_length(
    card: DatasetCard, source: _Source, length: int, snippets: dict[str, int], counts: Mapping[str, int]
) -> None:
    """Crops of one video must agree, and so must snippets and frames where both are known."""
    if snippets.setdefault(source.video, length) != length:
        raise UserError(
            f"{source.file}: {length} snippets, another crop of {source.video} has {snippets[source.video]}"
        )
    if not card.frame_counts:
        return
    if source.video not in counts:
        raise UserError(f"{source.listed.where}: video {source.video} has no frame count in {card.frame_counts}")
    frames, stride = counts[source.video], card.alignment.stride
    if card.alignment.kind == "stride" and length and length not in (frames // stride, -(-frames // stride)):
        raise UserError(
            f"{source.file}: {length} snippets do not fit {frames} frames at one per {stride} "
            f"(expected {frames // stride} or {-(-frames // stride)})"
        )


def _truth(
    card: DatasetCard,
    tested: Mapping[str, tuple[int, ...]],
    annotations: Mapping[str, Annotation],
    snippets: Mapping[str, int],
    counts: Mapping[str, int],
    excluded: tuple[str, ...],
) -> tuple[GroundTruth, list[str]]:
    videos: dict[str, VideoTruth] = {}
    warnings: list[str] = []
    for video, labels in tested.items():
        frames = counts.get(video, snippets[video] * card.alignment.stride)
        annotation = annotations.get(video)
        events = annotation.events if annotation else ()
        if not events and any(labels):
            raise UserError(f"{card.name}: abnormal test video {video} has no annotated event")
        if annotation and annotation.frames not in (None, frames):
            raise UserError(f"{annotation.where}: {annotation.frames} frames, {card.frame_counts} says {frames}")
        where = annotation.where if annotation else ""
        videos[video] = VideoTruth(frames, labels, _within(card, video, frames, events, where, warnings))
    ground = GroundTruth(
        dataset=card.name,
        classes=card.class_names,
        alignment=card.alignment,
        videos=videos,
        primary=card.protocol.primary,
        map_variant=card.protocol.map,
        excluded=excluded,
    )
    _check_frames(card, ground)
    return ground, warnings


def _check_frames(card: DatasetCard, truth: GroundTruth) -> None:
    positives = sum(int(video.mask().sum()) for video in truth.videos.values())
    for what, found, expected in (
        ("frames", truth.frames, card.protocol.frames),
        ("positive frames", positives, card.protocol.positives),
    ):
        if expected and found != expected:
            raise UserError(f"{card.name}: {found:,} test {what}, the card expects {expected:,}; check annotations")


def _within(
    card: DatasetCard, video: str, frames: int, events: tuple[Event, ...], where: str, warnings: list[str]
) -> tuple[Event, ...]:
    """Check events against the video's end. What reaches beyond is kept as annotated: scoring cuts it there."""
    for event in events:
        # Without frame counts a video may have lost up to one snippet when features were extracted.
        slack = 0 if card.frame_counts else card.alignment.stride
        if event.start >= frames + slack:
            raise UserError(f"{where}: event starts at frame {event.start}, {video} ends at {frames}")
        if event.end > frames:
            warnings.append(f"{where}: event of {video} ends at frame {event.end}, beyond the video's {frames}; cut")
    return events
