"""`harness data`: import, verify, show, list and export data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.data_import import Features, Name, import_
from harness.cli.data_verify import verify
from harness.cli.options import Json
from harness.cli.verbs import Verbs

app = Verbs(help="Import, verify, show, list and export data sets.")
app.command("import")(import_)
app.command("verify")(verify)


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
