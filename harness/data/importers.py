"""From a directory of features to a checked bank. Nothing is written unless everything is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.annotations import Annotation, read_annotations
from harness.data.arrays import read_features
from harness.data.bank import Bank, BankWriter, Item, SplitName, bank_path
from harness.data.card import DatasetCard
from harness.data.ground_truth import Count, Tested, build_truth, frame_counts
from harness.data.lists import find_input
from harness.data.sources import ALL_CROPS, Crops, Source, read_sources
from harness.errors import UserError
from harness.files import replacing_directory
from harness.truth import GroundTruth

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImportReport:
    """What was imported: the bank, the videos left out for having no snippets, and what deserves a look."""

    bank: Bank
    excluded: Mapping[SplitName, tuple[str, ...]]
    warnings: tuple[str, ...]


def import_features(
    card: DatasetCard, features: str | None, root: Path, progress: Progress, crops: Crops = ALL_CROPS
) -> ImportReport:
    """Check everything under `root` against the card and write the bank, replacing an earlier one.

    `crops` chooses crops of each split; None takes all that are listed.

    Raises:
        UserError: something is missing, damaged or disagrees with the card; an earlier bank stays as it was.
    """
    name, spec = card.feature_set(features)
    if spec.generated:
        raise UserError(f"dataset {card.name}/{name} is generated on first use; there is nothing to import")
    if card.base_name != card.name:
        raise UserError(f"dataset {card.name} is a variant; `harness data import {card.base_name}` imports it as well")
    if not root.is_dir():
        raise UserError(f"--root {root}: no such directory")
    sources = read_sources(card, name, root, crops)
    labels = {source.file.video: source.labels for rows in sources.values() for source in rows}
    counts = frame_counts(card, root)
    annotations = _annotations(card, root, labels)
    total = sum(map(len, sources.values()))
    done = 0
    excluded: dict[SplitName, tuple[str, ...]] = {}
    snippets: dict[str, int] = {}
    path = bank_path(card.name, name)
    with replacing_directory(path) as directory, BankWriter(directory, card, name) as writer:
        for split, rows in sources.items():
            empty: dict[str, None] = {}
            for source in rows:
                video = source.file.video
                arrays = read_features(source.file.path, spec, source.audio)
                _check_length(card, source, len(arrays[0]), snippets, counts)
                for crop in source.crops:
                    array = arrays[crop] if spec.stacked else arrays[0]
                    if len(array):
                        labels_of = source.labels if split == "train" else ()
                        writer.add(split, Item(video, crop, len(array), labels_of), array)
                    else:
                        empty[video] = None
                done += 1
                progress(done, total)
            excluded[split] = tuple(empty)
        tested = _tested(sources["test"], snippets, counts)
        truth, warnings = build_truth(card, tested, annotations, excluded["test"])
        variants, reasons = _variants(card, root, labels, tested, excluded["test"])
        writer.finish(truth, excluded, f"{root.name}, {total} files", variants, reasons)
    return ImportReport(Bank(path), excluded, tuple(warnings))


def _annotations(card: DatasetCard, root: Path, labels: Mapping[str, tuple[int, ...]]) -> dict[str, Annotation]:
    if card.annotations is None:
        return {}
    return read_annotations(card, find_input(root, card.annotations.path), labels)


def _variants(
    card: DatasetCard,
    root: Path,
    labels: Mapping[str, tuple[int, ...]],
    tested: Mapping[str, Tested],
    excluded: tuple[str, ...],
) -> tuple[dict[str, GroundTruth], dict[str, str]]:
    """Ground truths of the card's other protocols, and why some cannot be built from what lies under `root`."""
    built: dict[str, GroundTruth] = {}
    reasons: dict[str, str] = {}
    for name in card.protocol.variants:
        variant = card.variant(name)
        try:
            built[name], _ = build_truth(variant, tested, _annotations(variant, root, labels), excluded)
        except UserError as error:
            reasons[name] = str(error)
    return built, reasons


def _tested(sources: list[Source], snippets: Mapping[str, int], counts: Mapping[str, Count]) -> dict[str, Tested]:
    tested = {}
    for source in sources:
        video = source.file.video
        if snippets[video] and video not in tested:
            frames = counts[video].frames if video in counts else None
            tested[video] = Tested(source.labels, snippets[video], frames, source.listed.where)
    return tested


def _check_length(
    card: DatasetCard, source: Source, length: int, snippets: dict[str, int], counts: Mapping[str, Count]
) -> None:
    """Crops of one video must agree, and so must snippets and frames where both are known."""
    video, path = source.file.video, source.file.path
    if snippets.setdefault(video, length) != length:
        raise UserError(f"{path}: {length} snippets, another crop of {video} has {snippets[video]}")
    if not card.frame_counts:
        return
    if video not in counts:
        raise UserError(f"{source.listed.where}: video {video} has no frame count in {card.frame_counts}")
    frames, stride = counts[video].frames, card.alignment.stride
    if card.alignment.kind == "stride" and length and length not in (frames // stride, -(-frames // stride)):
        raise UserError(
            f"{counts[video].where}: {frames} frames of {video} do not fit the {length} snippets of {path}, one per "
            f"{stride} (expected {frames // stride} or {-(-frames // stride)})"
        )
