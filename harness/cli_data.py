"""`harness data`: import, verify, show, list and export data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Import, verify, show, list and export data sets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Dataset card: a name or a YAML file.")]
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
    json: Json = False,
) -> None:
    """Check features against a card and write the feature bank."""
    from harness.console import print_json, progress, say
    from harness.data.cards import find_card
    from harness.data.hf import import_exported, is_exported
    from harness.data.importers import import_features
    from harness.data.verify import describe

    found = find_card(card)
    if is_exported(root):
        bank = import_exported(root, found, features)
    else:
        with progress(f"import {found.name}") as tick:
            report = import_features(found, features, root, tick)
        bank = report.bank
        for warning in report.warnings:
            say(f"warning: {warning}")
        for split, videos in report.excluded.items():
            for video in videos:
                say(f"empty, left out of {split}: {video}")
    if json:
        print_json(describe(bank))
    else:
        _show(describe(bank))


@app.command()
def verify(card: Name, features: Features = None) -> None:
    """Check that an imported bank still holds what was imported; exit code 1 if not."""
    from harness.data.cards import find_card, open_bank
    from harness.data.verify import verify as problems_of

    bank = open_bank(find_card(card), features)
    problems = problems_of(bank)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print(f"{bank.card.name}/{bank.features_name}: all files as imported, hash {bank.content_hash[:12]}")


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
    """List the built-in cards and which are imported."""
    from harness import listing
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
    from harness.data.cards import find_card, open_bank
    from harness.data.hf import export_bank

    export_bank(open_bank(find_card(card), features), to)
    print(f"wrote {to}")


def _show(description: dict[str, object]) -> None:
    from harness import listing

    listing.show_bank(description)
