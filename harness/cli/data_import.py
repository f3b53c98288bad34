"""`harness data import`: features, or videos to make them from, to a checked bank."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.extract import Batch, ImageTower, Jobs, ProtocolName, TowerPrecision, setup_of
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.data.card import DatasetCard
    from harness.data.importers import ImportReport
    from harness.data.sources import Crops
    from harness.records.protocol import Protocol
    from harness.video.extract import Setup

# Warnings of an import that the screen shows, and names of what lacks; a file has all of them.
_SHOWN, _NAMED = 5, 3

Name = Annotated[str, typer.Argument(help="Dataset card: a name (built-in, or your own once imported) or a YAML file.")]
Features = Annotated[str | None, typer.Option("--features", help="Feature set of the card; default: its first.")]


def import_(
    card: Name,
    root: Annotated[
        Path | None,
        typer.Option(help="Directory with lists, annotations and features, or an exported one."),
    ] = None,
    features: Features = None,
    videos: Annotated[
        list[str] | None,
        typer.Option("--videos", help="Instead of features: videos to make them from, files or directories."),
    ] = None,
    extracted: Annotated[
        Path | None, typer.Option(help="Instead of features: a directory that `harness extract` wrote.")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(help="With --videos or --extracted: directory of lists and annotations; default: the card's own."),
    ] = None,
    protocol: ProtocolName = "vadclip",
    image_tower: ImageTower = None,
    jobs: Jobs = 1,
    batch: Batch = 0,
    device: options.Device = "cpu",
    precision: TowerPrecision = "fp32",
    crops: Annotated[str, typer.Option(help="Crops to import: all, or numbers such as 0 or 0,5.")] = "all",
    test_crops: Annotated[str, typer.Option(help="Crops of the test split; default: as --crops.")] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Import what is there of an incomplete download; every result says so.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of a set of another card, or of a complete one.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Check features against a card and write the feature bank. A card of your own is found by its name from then on.

    Several crops of a training video are items of their own; of a test video, their scores are averaged. With --videos
    the features are made first, by a protocol; they are a feature set of their own.
    """
    from harness.cli.listing import show_bank
    from harness.console import print_json, progress, say, tell
    from harness.data.cards import card_names, find_card
    from harness.data.extracted import with_extraction
    from harness.data.hf import import_exported, is_exported
    from harness.data.importers import import_features
    from harness.data.own_cards import changes, check_same, keep_card
    from harness.data.verify import describe

    found = find_card(card)
    own = card.endswith((".yaml", ".yml")) and found.name not in card_names()
    if own and not replace:
        check_same(found, card)
    chosen = _crops("--crops", crops)
    if not (root or videos or extracted):
        raise UserError("data import needs --root DIR with features, or --videos DIR to make them from")
    if sum(map(bool, (root, videos, extracted))) > 1:
        raise UserError("data import: give one of --root, --videos and --extracted")
    if root is None:
        # They need torch, which features alone do not.
        from harness.video.data_set import lists_of
        from harness.video.extraction import Extraction
        from harness.video.protocols import find_protocol

        root = lists_of(card, annotations)
        if videos:
            chosen_protocol = find_protocol(protocol)
            setup = setup_of(chosen_protocol, image_tower, device, precision, batch, jobs)
            extracted = _extracted(found, videos, root, chosen_protocol, setup, features, partial)
        assert extracted is not None
        found, features = with_extraction(found, Extraction(extracted).recipe, features)
    elif annotations is not None:
        raise UserError("--annotations: belongs to --videos or --extracted; with --root all lies in that directory")
    if extracted is None and is_exported(root):
        if chosen or test_crops or partial:
            option = "--partial" if partial else "--crops"
            raise UserError(f"{option}: {root} is an exported bank, which comes as it is; import the features instead")
        bank = import_exported(root, found, features, say)
    else:
        tested = _crops("--test-crops", test_crops) if test_crops else chosen
        with progress(f"import {found.name}") as tick:
            crops_of: Crops = {"train": chosen, "test": tested}
            report = import_features(found, features, root, tick, crops_of, partial, replace, extracted)
        bank = report.bank
        _tell(report, partial)
    if own:
        if changed := changes(found):
            say(changed)
        keep_card(found, Path(card))
    if undefined := bank.truth().undefined:
        say(f"warning: {found.name}: {undefined}")
    if json:
        print_json(describe(bank))
    else:
        show_bank(describe(bank))
        where = f"--dataset {bank.card.name} --features {bank.features_name}"
        tell(f"next: harness run --methods baseline,linear-probe {where}")  # which run on features of any width


def _extracted(
    card: DatasetCard,
    videos: list[str],
    lists: Path,
    protocol: Protocol,
    setup: Setup,
    features: str | None,
    partial: bool,
) -> Path:
    """Extract the videos that the card's lists name, unless that is done; return the directory."""
    from harness.cli.extract import words
    from harness.console import progress, say
    from harness.video.data_set import extract_listed

    report = extract_listed(card, videos, lists, protocol, setup, say, progress, features, partial)
    say(words(report))
    if report.left_out and not partial:
        count, reason = len(report.left_out), next(iter(report.left_out.values()))
        raise UserError(f"{count} of the listed videos gave no features ({reason}); mend them, or add --partial")
    return report.directory


def _tell(report: ImportReport, partial: bool) -> None:
    """Say what deserves a look, in few lines: all of them are in a file beside the bank."""
    from harness.console import say
    from harness.data.bank import REMARKS
    from harness.data.shares import lines

    hidden = report.warnings[_SHOWN:]
    for warning in report.warnings[:_SHOWN]:
        say(f"warning: {warning}")
    if hidden:
        say(f"warning: {len(hidden):,} more like these")
    empty = [video for videos in report.excluded.values() for video in videos]
    if empty:
        counts = ", ".join(f"{len(videos):,} in {split}" for split, videos in report.excluded.items())
        say(f"empty, left out: {counts}; {_some(empty)}")
    for line in lines(report.bank.shares):
        say(line)
    lacks = [lack.what for each in report.lacks.values() for lack in each]
    if lacks:
        say(f"such as {_some(lacks)}")
    if partial and not report.bank.partial:
        say("nothing is missing: imported as a complete set")
    if hidden or report.condensed or max(len(empty), len(lacks)) > _NAMED:
        say(f"all of it, line by line: {report.bank.path / REMARKS}")


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _crops(option: str, text: str) -> frozenset[int] | None:
    if text == "all":
        return None
    words = text.split(",")
    if not all(re.fullmatch(r"[0-9]{1,3}", word) for word in words):
        raise UserError(f"{option} {text!r}: expected all, or crop numbers such as 0 or 0,5")
    return frozenset(map(int, words))
