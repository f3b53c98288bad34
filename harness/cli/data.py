"""`harness data`: import, verify, show, list and export data sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.verbs import Verbs
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.data.bank import Bank
    from harness.data.importers import ImportReport
    from harness.data.sources import Crops

# Warnings of an import that the screen shows, and names of what lacks; a file has all of them.
_SHOWN, _NAMED = 5, 3

app = Verbs(help="Import, verify, show, list and export data sets.")

Name = Annotated[str, typer.Argument(help="Dataset card: a name (built-in, or your own once imported) or a YAML file.")]
Features = Annotated[
    str | None,
    typer.Option("--features", help="Feature set of the card; default: its first."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


@app.command("import")
def import_(
    card: Name,
    root: Annotated[Path, typer.Option(help="Directory with lists, annotations and features, or an exported one.")],
    features: Features = None,
    crops: Annotated[str, typer.Option(help="Crops to import: all, or numbers such as 0 or 0,5.")] = "all",
    test_crops: Annotated[str, typer.Option(help="Crops of the test split; default: as --crops.")] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Import what is there of an incomplete download; every result says so.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of a set of another card, or of a complete one.")
    ] = False,
    json: Json = False,
) -> None:
    """Check features against a card and write the feature bank. A card of your own is found by its name from then on.

    Several crops of a training video are items of their own; of a test video, their scores are averaged.
    """
    from harness.console import print_json, progress, say
    from harness.data.cards import card_names, find_card
    from harness.data.hf import import_exported, is_exported
    from harness.data.importers import import_features
    from harness.data.own_cards import changes, check_same, keep_card
    from harness.data.verify import describe

    found = find_card(card)
    own = card.endswith((".yaml", ".yml")) and found.name not in card_names()
    if own and not replace:
        check_same(found, card)
    chosen = _crops("--crops", crops)
    if is_exported(root):
        if chosen or test_crops or partial:
            option = "--partial" if partial else "--crops"
            raise UserError(f"{option}: {root} is an exported bank, which comes as it is; import the features instead")
        bank = import_exported(root, found, features, say)
    else:
        tested = _crops("--test-crops", test_crops) if test_crops else chosen
        with progress(f"import {found.name}") as tick:
            crops_of: Crops = {"train": chosen, "test": tested}
            report = import_features(found, features, root, tick, crops_of, partial, replace)
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
        _show(describe(bank))


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


@app.command()
def verify(
    card: Name,
    features: Features = None,
    against: Annotated[Path | None, typer.Option(help="A 0/1 ground-truth vector of the community (.npy).")] = None,
) -> None:
    """Check that an imported bank still holds what was imported, or that a vector says the same; exit code 1 if not."""
    from harness.console import tell
    from harness.data.cards import find_card, open_bank
    from harness.data.verify import verify as problems_of

    bank = open_bank(find_card(card), features)
    if against is not None:
        _compare(bank, against)
        return
    problems = problems_of(bank)
    for problem in problems:
        tell(problem)
    if problems:
        raise typer.Exit(1)
    tell(f"{bank.card.name}/{bank.features_name}: all files as imported, hash {bank.content_hash[:12]}")


@app.command()
def info(card: Name, features: Features = None, json: Json = False) -> None:
    """Show what a bank holds."""
    from harness.console import print_json
    from harness.data.cards import find_card, open_bank
    from harness.data.verify import describe

    description = describe(open_bank(find_card(card), features))
    if json:
        print_json(description)
    else:
        _show(description)


@app.command("list")
def list_(json: Json = False) -> None:
    """List the built-in cards and your own imported ones, and which are imported."""
    from harness.cli import listing
    from harness.console import print_json

    rows = listing.datasets()
    if json:
        print_json({"datasets": rows})
    else:
        listing.show("datasets", rows)


@app.command()
def export(
    card: Name,
    to: Annotated[Path, typer.Option(help="New directory for a Hugging Face `datasets` dataset.")],
    features: Features = None,
) -> None:
    """Write a bank as a Hugging Face `datasets` directory, which `import --root` reads back bit for bit."""
    from harness.console import tell
    from harness.data.cards import find_card, open_bank
    from harness.data.hf import export_bank

    export_bank(open_bank(find_card(card), features), to)
    tell(f"wrote {to}")


def _compare(bank: Bank, path: Path) -> None:
    from harness.console import tell
    from harness.data.compare import compare_truth, read_vector

    vector = read_vector(path)
    found = compare_truth(bank, vector)
    tell(f"{path.name}: {len(vector):,} labels, {int(vector.sum()):,} positive")
    tell(f"nearest: {found.convention}: {found.labels:,} labels, {len(found.differences)} videos differ")
    for difference in found.differences:
        tell(str(difference))
    if found.rest[0]:
        tell(f"behind our last video: {found.rest[0]:,} more labels, {found.rest[1]:,} positive")
    if found.differences or not found.fits:
        raise typer.Exit(1)


def _show(description: dict[str, Any]) -> None:
    from harness.cli import listing
    from harness.console import tell

    listing.show_bank(description)
    crops = {name: split["crops"] for name, split in description["splits"].items()}
    if any(listed != [0] for listed in crops.values()):
        tell("crops: " + "; ".join(f"{name} {', '.join(map(str, listed))}" for name, listed in crops.items()))
    variants = [f"{name}{'' if built else ' (not built)'}" for name, built in description["variants"].items()]
    tell(f"frames of a test video: {description['frame_rule']}; other protocols: {', '.join(variants) or 'none'}")
