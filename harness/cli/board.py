"""`harness board`: a public results repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import Device, Json, TextTower, seeds, words
from harness.cli.verbs import Verbs
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.boards.check import Checked
    from harness.boards.record import Record

app = Verbs(help="A public results repository: submissions of many teams, verified and ranked.")

Place = Annotated[Path, typer.Option("--to", help="Directory of the repository.")]
Directory = Annotated[Path, typer.Argument(help="Directory of the repository.")]
OnlyRepository = Annotated[
    bool,
    typer.Option(
        "--only-repository",
        help="Verify with what the repository has alone, as its check does, not with imported data.",
    ),
]


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="New directory.")],
    datasets: Annotated[
        str | None, typer.Option(help="Comma-separated built-in data sets; default: all of them.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the repository is called.")] = None,
    json: Json = False,
) -> None:
    """Write a new results repository: rules, cards, workflows, the places for submissions and records."""
    from harness.boards import initial
    from harness.console import print_json, tell

    files = initial.init(directory, words("--datasets", datasets) if datasets else (), name or initial.NAME)
    if json:
        print_json({"directory": str(directory), "files": [str(path) for path in files]})
        return
    tell(f"wrote {directory}: {len(files)} files; next: git init, commit, and push it to where teams find it")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="What `harness submit` wrote.")],
    to: Place = Path("."),
    only_repository: OnlyRepository = False,
    json: Json = False,
) -> None:
    """Verify a submission, copy it into a repository and write its record.

    Exit code 0: it is there; 1: it does not hold, and the reasons say why; 2: it cannot be read, or is there already.
    """
    from harness.boards.add import add as add_to
    from harness.boards.repository import Repository
    from harness.console import print_json, tell

    repository = Repository(to)
    found = add_to(file, repository, imported=not only_repository)
    record = found.record
    files = [repository.submission(record.id), repository.record_path(record.id)]
    files += [repository.arrays_path(record.id)] if found.arrays else []
    if json:
        print_json({"id": record.id, "verified": record.verified, "files": [str(path) for path in files]})
        return
    _show(record)
    for path in files:
        tell(f"wrote {path}")


def _show(record: Record) -> None:
    from harness.console import tell

    tell(f"{record.id}: {'verified' if record.verified else 'not verified: ' + '; '.join(record.unverified)}")
    for row in record.rows:
        why = f": {'; '.join(row.reasons)}" if row.reasons else ""
        tell(f"{row.title} on {row.board.dataset}, {len(row.seeds)} seeds: {row.division} division{why}")


@app.command()
def check(
    directory: Directory = Path("."),
    base: Annotated[str, typer.Option(help="Branch or commit that the change is to go into.")] = "origin/main",
    comment: Annotated[Path | None, typer.Option(help="File for the answer to the team, in Markdown.")] = None,
    maintainer: Annotated[
        bool, typer.Option("--maintainer", help="Rules, cards, annotations, workflows and reruns may change, too.")
    ] = False,
    only_repository: OnlyRepository = False,
    json: Json = False,
) -> None:
    """Look at what commits since --base change: only additions, each verified again, each record as it must be.

    Exit code 0: all holds; 1: something does not; 2: there is no repository, or no such base.
    """
    from harness.boards.check import check as check_changes
    from harness.boards.comment import markdown
    from harness.console import print_json
    from harness.io.atomic import write_text

    found = check_changes(directory, base, maintainer, imported=not only_repository)
    if comment:
        write_text(comment, markdown(found))
    if json:
        print_json(_document(found))
    else:
        _tell(found)
    if found.problems:
        raise typer.Exit(1)


def _document(found: Checked) -> dict[str, Any]:
    return {
        "ok": not found.problems,
        "problems": list(found.problems),
        "notes": list(found.notes),
        "added": [{"id": record.id, "verified": record.verified} for record in found.added],
    }


def _tell(found: Checked) -> None:
    from harness.console import tell

    for record in found.added:
        _show(record)
    for line in found.notes:
        tell(line)
    for line in found.problems:
        tell(f"does not hold: {line}")
    if not found.problems:
        tell(f"holds: {len(found.added)} submission{'s' if len(found.added) != 1 else ''} added")


@app.command()
def site(
    out: Annotated[Path, typer.Option(help="Directory of the pages.")],
    directory: Directory = Path("."),
    downloads: Annotated[
        str | None, typer.Option(help="Address below which submissions/ can be downloaded, for links.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the boards of a repository as a site that works from disk: ranks, search, each submission in detail."""
    from harness.boards.repository import Repository
    from harness.boards.site import write_site
    from harness.console import print_json, tell

    if downloads and not downloads.startswith(("https://", "http://")):
        raise UserError(f"--downloads {downloads}: expected an address that begins with https://")
    page = write_site(Repository(directory), out, f"{downloads.rstrip('/')}/" if downloads else "")
    if json:
        print_json({"page": str(page)})
    else:
        tell(f"wrote {page}")


@app.command()
def rerun(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of a record: the name in records/.")],
    to: Place = Path("."),
    numbers: Annotated[str | None, typer.Option("--seeds", help="Some of its seeds; default: all.")] = None,
    by: Annotated[str, typer.Option(help="Who trains again.")] = "a maintainer",
    text_tower: TextTower = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Train a submission again from its recorded settings and say whether it gives the same, within seeds' spread.

    Exit code 0: it does, or one seed cannot say; 1: it does not; 2: it cannot be trained here.
    """
    from harness.boards.repository import Repository
    from harness.boards.train_again import train_again
    from harness.console import print_json, tell

    if not by.strip():
        raise UserError("--by: is empty")
    chosen = seeds(numbers) if numbers else ()
    made = train_again(Repository(to), name, chosen, by, text_tower=text_tower, device=device)
    if json:
        print_json({"reruns": [{"file": str(path), **each.model_dump(mode="json")} for path, each in made]})
    else:
        for path, each in made:
            tell(f"{each.outcome}: {each.words}")
            for line in each.errors:
                tell(line)
            tell(f"wrote {path}")
    if any(each.outcome == "not reproduced" for _, each in made):
        raise typer.Exit(1)
