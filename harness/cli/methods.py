"""`harness new-method` writes a package for a method; `harness check-method` asks of one what every method must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import options
from harness.cli.options import Json, Set, TextTower
from harness.errors import UserError


def check_method(
    method: Annotated[str | None, typer.Argument(help="Name or alias of a registered method.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All methods that ship with the harness.")] = False,
    preset: Annotated[str, typer.Option(help="Its settings: fast, paper, ...")] = "fast",
    set_: Set = None,
    text_tower: TextTower = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Where a pass is kept for the leaderboard; default: checked.json in HARNESS_HOME."),
    ] = None,
    json: Json = False,
) -> None:
    """Check a method's contract (shapes, padding, seeds, gradients, memory, ...); exit code 1 if a check fails."""
    from harness.console import print_json
    from harness.identity import check_record as checked

    settings = options.overrides(set_ or [])
    documents = []
    names = _names(method, everyone)
    if not settings:
        checked.check_record(record or checked.own_record())
    for name in names:
        if other := next((word for word in settings if word != name), None):
            raise UserError(f"--set {other}.…: the method is {name}")
        rows = list(_rows(name, preset, settings.get(name, {}), text_tower, not json, everyone))
        ok = all(row["status"] != "failed" for row in rows)
        documents.append({"method": name, "preset": preset, "ok": ok, "checks": rows})
        if not settings:  # other settings are other methods to a check
            _keep(name, rows, record)
    if json:
        print_json({"methods": documents} if everyone else documents[0])
    if not all(document["ok"] for document in documents):
        raise typer.Exit(1)


def new_method(
    name: Annotated[str, typer.Argument(help="Its name on the command line.")],
    title: Annotated[str | None, typer.Option(help="Its name on leaderboards; default: made of the other.")] = None,
    to: Annotated[Path, typer.Option(help="Where the directory harness-NAME is made.")] = Path(),
    out: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Write a package for a method of your own, which learns, can be installed and passes the check as it stands."""
    from harness.console import tell
    from harness.new_method.package import write_package

    directory = write_package(name, title, to if out is None else options.renamed("--out", "--to", out))
    tell(f"wrote {directory}; next: pip install -e {directory} && harness check-method {name}")


def _names(method: str | None, everyone: bool) -> list[str]:
    from harness.registry import is_ours, method_names, one_method

    if everyone == (method is not None):
        raise UserError("check-method: name one method, or give --all for those that ship with the harness")
    return [one_method(method)] if method is not None else [name for name in method_names() if is_ours(name)]


def _rows(
    name: str, preset: str, overrides: Mapping[str, Any], tower: str | None, shown: bool, named: bool
) -> Iterator[dict[str, str]]:
    from harness.check import run_checks
    from harness.console import tell

    for outcome in run_checks(name, preset=preset, overrides=overrides, text_tower=tower):
        if shown:
            before = f"{name:13} " if named else ""
            tell(f"{before}{outcome.status:8} {outcome.check:13} {outcome.reason}".rstrip())
        yield {"check": outcome.check, "status": outcome.status, "reason": outcome.reason}


def _keep(name: str, rows: list[dict[str, str]], record: Path | None) -> None:
    from harness.identity import check_record as checked
    from harness.registry import method_class

    outcomes = {row["check"]: row["status"] for row in rows}
    checked.keep(method_class(name), outcomes, record or checked.own_record())
