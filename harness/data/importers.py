"""From a directory of features to a checked bank. Nothing is written unless everything is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.data.annotations import Annotations, read_annotations
from harness.data.arrays import Damaged, Features, read_features
from harness.data.bank import SPLITS, Bank, Item, SplitName, bank_path
from harness.data.bank_writer import BankWriter
from harness.data.card import DatasetCard
from harness.data.extracted import extracted_facts
from harness.data.glances import read_glances
from harness.data.ground_truth import Count, Tested, build_truth, extracted_counts, frame_counts, unannotated
from harness.data.lists import find_input
from harness.data.shares import Share, label, lines, share_of
from harness.data.sources import ALL_CROPS, Crops, Lack, Listed, Source, expected_rows, read_sources
from harness.errors import UserError
from harness.io.ahead import read_ahead
from harness.io.atomic import replacing_directory
from harness.records.truth import GroundTruth

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImportReport:
    """What was imported: the bank, the videos left out for having no snippets, and what deserves a look.

    `lacks` are the files of an incomplete data set that are missing or damaged. `condensed`: a warning stands for
    several lines of the bank's remarks.
    """

    bank: Bank
    excluded: Mapping[SplitName, tuple[str, ...]]
    warnings: tuple[str, ...]
    lacks: Mapping[SplitName, tuple[Lack, ...]] = field(default_factory=dict)
    condensed: bool = False


def import_features(
    card: DatasetCard,
    features: str | None,
    root: Path,
    progress: Progress,
    crops: Crops = ALL_CROPS,
    partial: bool = False,
    replace: bool = False,
    extracted: Path | None = None,
) -> ImportReport:
    """Check everything under `root` against the card and write the bank, replacing an earlier one.

    `crops` chooses crops of each split; None takes all that are listed. With `partial`, what is there of an incomplete
    data set is imported; it takes the place of a complete import only with `replace`. `extracted` is the directory of
    an extraction, whose features and frame counts are taken; lists and annotations are below `root`.

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
    folder = extracted / "features" if extracted else None
    listed = read_sources(card, name, root, crops, partial, folder)
    labels = {video: own for split in listed.values() for video, own in split.labels.items()}
    counts = extracted_counts(card, extracted) if extracted else frame_counts(card, root)
    annotations = _annotations(card, root, labels)
    sources = {split: list(asked.sources) for split, asked in listed.items()}
    lacks = {split: list(asked.missing) for split, asked in listed.items()}
    if partial:
        sources["test"], unusable = _annotated(sources["test"], annotations)
        lacks["test"] += unusable
    copy = _Copy(card, name, counts, partial, progress, sum(map(len, sources.values())))
    path = bank_path(card.name, name)
    expected = {split: expected_rows(rows, spec) for split, rows in sources.items()}
    with replacing_directory(path) as directory, BankWriter(directory, card, name, expected) as writer:
        for split, rows in sources.items():
            lacks[split] += copy.items(writer, split, rows)
        shares = _shares(card, listed, copy, lacks)
        if shares and not replace:
            _check_keeps(path, shares)
        excluded = {split: tuple(videos) for split, videos in copy.empty.items()}
        unscored = (*excluded["test"], *(shares["test"].missing if "test" in shares else ()))
        tested = _tested(
            [row for row in sources["test"] if row.file.video in copy.files["test"]], copy.snippets, counts
        )
        known = card if "test" not in shares or shares["test"].whole else card.without_totals
        truth, odd = build_truth(known, tested, annotations, unscored)
        variants, reasons = _variants(known, root, labels, tested, unscored)
        glances = read_glances(card, root, listed["train"].labels, copy.snippets)
        plain = [*annotations.warnings, *_rounded(copy.rounded), *(glances.warnings if glances else ())]
        remarks = [*plain, *odd.lines, *_remarks(excluded, lacks, shares)]
        facts = extracted_facts(extracted, copy.snippets) if extracted else None
        origin, clicks = f"{root.name}, {copy.total} files", glances.of if glances else None
        writer.finish(truth, excluded, origin, variants, reasons, shares, remarks, facts, clicks)
    bank = Bank(path)
    bank.seal()
    lacking = {split: tuple(each) for split, each in lacks.items()}
    return ImportReport(bank, excluded, (*plain, *odd.summary), lacking, odd.summary != odd.lines)


@dataclass
class _Copy:
    """Features on their way from files to the bank, and what was seen of them.

    `snippets` by video, `empty` videos and how many `files` of each video were read, by split; `rounded` files had
    double precision.
    """

    card: DatasetCard
    features: str
    counts: Mapping[str, Count]
    partial: bool
    progress: Progress
    total: int
    done: int = 0
    snippets: dict[str, int] = field(default_factory=dict)
    empty: dict[SplitName, dict[str, None]] = field(default_factory=lambda: {split: {} for split in SPLITS})
    files: dict[SplitName, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    rounded: list[Path] = field(default_factory=list)

    def items(self, writer: BankWriter, split: SplitName, sources: list[Source]) -> list[Lack]:
        """Write the items of a split; return the files of an incomplete set that are damaged."""
        lacks = []
        for source, read in zip(sources, read_ahead(self._read, sources), strict=True):
            try:
                self._item(writer, split, source, *read.result())
            except Damaged as error:
                if not self.partial:
                    raise UserError(f"{error}, or leave it out with `harness data import --partial`") from error
                lacks.append(Lack(source.listed.where, source.file.video, str(error)))
            self.done += 1
            self.progress(self.done, self.total)
        return lacks

    def _read(self, source: Source) -> tuple[list[Features], list[Path]]:
        """The features of a file's crops, and the file where it had double precision."""
        rounded: list[Path] = []
        spec = self.card.features[self.features]
        return read_features(source.file.path, self.features, spec, source.audio, rounded.append), rounded

    def _item(
        self, writer: BankWriter, split: SplitName, source: Source, arrays: list[Features], rounded: list[Path]
    ) -> None:
        spec, video = self.card.features[self.features], source.file.video
        self.rounded += rounded
        self.files[split][video] += 1
        _check_length(self.card, source, len(arrays[0]), self.snippets, self.counts)
        for crop in source.crops:
            array = arrays[crop] if spec.stacked else arrays[0]
            if len(array):
                writer.add(split, Item(video, crop, len(array), source.labels if split == "train" else ()), array)
            else:
                self.empty[split][video] = None


def _annotated(sources: list[Source], annotations: Annotations) -> tuple[list[Source], list[Lack]]:
    """The test videos that frame metrics can use, and the abnormal ones that have no annotated event."""
    lacking = set(unannotated({source.file.video: source.labels for source in sources}, annotations))
    where = {source.file.video: source.listed.where for source in sources if source.file.video in lacking}
    kept = [source for source in sources if source.file.video not in lacking]
    return kept, [
        Lack(place, video, f"abnormal video {video} has no annotated event") for video, place in where.items()
    ]


def _shares(
    card: DatasetCard, listed: Mapping[SplitName, Listed], copy: _Copy, lacks: Mapping[SplitName, list[Lack]]
) -> dict[SplitName, Share]:
    """What is there of both splits; nothing where the import is whole.

    Raises:
        UserError: no test video is left, or no training video.
    """
    found: dict[SplitName, Share] = {}
    for split, asked in listed.items():
        read = copy.files[split]
        if not read:
            raise UserError(f"{lacks[split][0]}: no video of the {split} list can be imported")
        counts = read.total(), len(asked.sources) + len(asked.missing)
        found[split] = share_of(card, split, asked.labels, read, counts)
    return {} if all(share.whole for share in found.values()) else found


def _check_keeps(path: Path, shares: Mapping[SplitName, Share]) -> None:
    """Raise UserError where a part would take the place of a complete import."""
    try:
        earlier = Bank(path)
    except UserError:  # none is there, or a damaged one
        return
    if not earlier.partial:
        raise UserError(
            f"dataset {earlier.card.name}/{earlier.features_name} is imported completely; --replace puts "
            f"{label(shares)} in its place"
        )


def _rounded(paths: list[Path]) -> list[str]:
    if not paths:
        return []
    files = "1 file has" if len(paths) == 1 else f"{len(paths):,} files have"
    return [f"{files} features in double precision, such as {paths[0]}; imported in single precision"]


def _remarks(
    excluded: Mapping[SplitName, tuple[str, ...]],
    lacks: Mapping[SplitName, list[Lack]],
    shares: Mapping[SplitName, Share],
) -> list[str]:
    """Every empty and every missing thing in a line of its own."""
    return [
        *lines(shares),
        *(f"missing in {split}: {lack}" for split in SPLITS for lack in lacks[split]),
        *(f"empty, left out of {split}: {video}" for split in SPLITS for video in excluded[split]),
    ]


def _annotations(card: DatasetCard, root: Path, labels: Mapping[str, tuple[int, ...]]) -> Annotations:
    if card.annotations is None:
        return Annotations()
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
