"""`harness check-method`: what every method must do, ours or a third party's."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import options
from harness.errors import UserError
from harness.options import Json, Set, TextTower


def check_method(
    method: Annotated[str, typer.Argument(help="Name or alias of a registered method.")],
    preset: Annotated[str, typer.Option(help="Its settings: fast, paper, ...")] = "fast",
    set_: Set = None,
    text_tower: TextTower = None,
    json: Json = False,
) -> None:
    """Check a method's contract (shapes, padding, seeds, gradients, memory, ...); exit code 1 if a check fails."""
    from harness.check import run_checks
    from harness.console import print_json, tell
    from harness.registry import one_method

    name = one_method(method)
    settings = options.overrides(set_ or [])
    if other := next((word for word in settings if word != name), None):
        raise UserError(f"--set {other}.…: the method is {name}")
    rows = []
    for outcome in run_checks(name, preset=preset, overrides=settings.get(name, {}), text_tower=text_tower):
        rows.append({"check": outcome.check, "status": outcome.status, "reason": outcome.reason})
        if not json:
            tell(f"{outcome.status:8} {outcome.check:13} {outcome.reason}".rstrip())
    ok = all(row["status"] != "failed" for row in rows)
    if json:
        print_json({"method": name, "preset": preset, "ok": ok, "checks": rows})
    if not ok:
        raise typer.Exit(1)
