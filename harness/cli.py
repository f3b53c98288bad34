"""The command line: a verb parses, calls one function, prints. Heavy imports stay inside the verbs."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from harness import (
    __version__,
    cli_audit,
    cli_bench,
    cli_checkpoints,
    cli_compare,
    cli_methods,
    cli_run,
    cli_score,
    cli_submission,
)
from harness.cli_data import app as data_app
from harness.errors import HarnessError, UserError
from harness.options import Json, Out, TrackingUri

app = typer.Typer(
    name="harness",
    help="Benchmark and evaluation harness for weakly supervised video anomaly detection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.command("run")(cli_run.run)
app.command("bench")(cli_bench.bench)
app.command("audit")(cli_audit.audit)
app.command("convert")(cli_checkpoints.convert)
app.command("eval")(cli_checkpoints.evaluate)
app.command("compare")(cli_compare.compare)
app.command("score")(cli_score.score)
app.command("submit")(cli_submission.submit)
app.command("verify-submission")(cli_submission.verify_submission)
app.command("check-method")(cli_methods.check_method)


def main() -> None:
    """Run the command line; errors of the harness end in one line, exit code 1 (failed) or 2 (wrong input)."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except HarnessError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        # What is still to be closed takes a moment; another Ctrl-C ends it, and needs no words.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every verb."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets or runs")],
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """List methods, dataset cards or recorded runs."""
    from harness import listing

    tables: dict[str, Callable[[], list[listing.Row]]] = {
        "methods": listing.methods,
        "datasets": listing.datasets,
        "runs": lambda: listing.runs(tracking_uri, out),
    }
    if what not in tables:
        raise UserError(f"harness list {what}: expected methods, datasets or runs")
    rows = tables[what]()
    broken = listing.broken_methods() if what == "methods" else []
    if json:
        from harness.console import print_json

        print_json({what: rows, **({"broken": broken} if broken else {})})
        return
    listing.show(what, rows)
    for line in broken:
        print(f"cannot be used: {line}")


@app.command()
def report(
    out: Out = Path("runs"),
    formats: Annotated[str, typer.Option(help="Comma-separated: html, md, csv, json, tex.")] = "html,md,csv,json",
    also: Annotated[
        list[str] | None,
        typer.Option(help="Also the runs of a submission file, a store's URI, or a directory of either; repeatable."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--publish", help="Also a folder to serve: a directory, or gh-pages (commits to that branch)."),
    ] = None,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Write all recorded runs to OUT/report: a site that opens from disk (index.html), and the same as tables."""
    from harness.console import out as screen
    from harness.console import print_json, say
    from harness.report.board import board_dict
    from harness.report.pages_branch import publish_site
    from harness.report.publish import publish
    from harness.report.terminal import print_leaderboard
    from harness.track import Tracker

    wanted = [word.strip() for word in formats.split(",") if word.strip()]
    readonly = out.is_dir() and not os.access(out, os.W_OK)
    with tempfile.TemporaryDirectory() as scratch:
        place = (Path(scratch) if target else None) if readonly else out / "report"
        leaderboard, paths = publish(Tracker(tracking_uri, out), wanted, also or (), place)
        push = publish_site(leaderboard, paths, target) if target else ""
    paths = [] if readonly else paths
    if readonly and not target:
        say(f"{out}: is read-only, so no report was written there; --publish DIRECTORY writes one elsewhere")
    for notice in (*leaderboard.notices, *(f"missing: {line}" for line in leaderboard.missing)):
        say(notice)
    if json:
        boards = [board_dict(board) for board in leaderboard.boards]
        files = [str(path) for path in paths]
        print_json({"files": files, "leaderboard": boards, "published": target, "push": push or None})
    else:
        print_leaderboard(leaderboard.boards, screen)
        for path in paths:
            print(f"wrote {path}")
        if target:
            print(f"committed to {target}; push it with: {push}" if push else f"published to {target}")
    if leaderboard.missing:
        raise typer.Exit(1)


@app.command()
def parity(
    cases: Annotated[list[Path], typer.Argument(help="Case directories, or directories of them.")],
    lists: Annotated[
        Path | None,
        typer.Option(help="Ground-truth lists of the eval-map cases; default: CASE/../../real/lists."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Where outcomes are kept for the leaderboard; default: parity.json in HARNESS_HOME."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare our numbers with the official implementations'; exit code 1 if a case does not hold."""
    from harness import fidelity, listing
    from harness import parity as checks
    from harness.console import print_json

    found = [checks.read_case(path, lists) for path in checks.case_directories(cases)]
    checks.require_adapters(found)
    results = [checks.check(case) for case in found]
    fidelity.keep(results, record or fidelity.own_record())
    if json:
        print_json({"cases": [result.as_json() for result in results]})
    else:
        listing.show_parity(results)
    if not all(result.ok for result in results):
        raise typer.Exit(1)
