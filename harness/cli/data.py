"""`harness data`: import, verify, show, list and export data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.data_import import Features, Name, import_
from harness.cli.options import Json
from harness.cli.verbs import Verbs

if TYPE_CHECKING:
    from harness.data.bank import Bank

app = Verbs(help="Import, verify, show, list and export data sets.")
app.command("import")(import_)


@app.command("new")
def new(
    directory: Annotated[Path, typer.Argument(help="Directory with your videos and labels.csv.")],
    labels: Annotated[
        Path | None, typer.Option(help="Table video,label[,start,end][,split]; default: labels.csv in the directory.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set; default: the directory's.")] = None,
) -> None:
    """Write card, lists and annotations for labelled videos of your own: a row for each video or event, in seconds."""
    from harness.console import say, tell
    from harness.video.new_data_set import write_data_set

    path = write_data_set(directory, labels, name, say)
    tell(f"wrote {path}; next: harness data import {path} --videos {directory}")


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
    from harness.cli import listing
    from harness.console import print_json
    from harness.data.cards import find_card, open_bank
    from harness.data.verify import describe

    description = describe(open_bank(find_card(card), features))
    if json:
        print_json(description)
    else:
        listing.show_bank(description)


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
