"""The command line: a verb parses, calls one function, prints. Heavy imports stay inside the verbs."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import audit as cli_audit
from harness.cli import bench as cli_bench
from harness.cli import checkpoints as cli_checkpoints
from harness.cli import compare as cli_compare
from harness.cli import demo_video as cli_demo_video
from harness.cli import detect as cli_detect
from harness.cli import extract as cli_extract
from harness.cli import methods as cli_methods
from harness.cli import options, selectors
from harness.cli import plot as cli_plot
from harness.cli import run as cli_run
from harness.cli import score as cli_score
from harness.cli import study as cli_study
from harness.cli import submission as cli_submission
from harness.cli.board import app as board_app
from harness.cli.data import app as data_app
from harness.cli.ending import INTERRUPTED, ending
from harness.cli.options import Device, Json, Out, TrackingUri
from harness.cli.streams import any_streams
from harness.cli.verbs import Verbs
from harness.errors import UserError
from harness.version import __version__

app = Verbs(
    name="harness",
    help="Benchmark and evaluation harness for weakly supervised video anomaly detection.",
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.add_typer(board_app, name="board")
app.command("run")(cli_run.run)
app.command("bench")(cli_bench.bench)
app.command("audit")(cli_audit.audit)
app.command("convert")(cli_checkpoints.convert)
app.command("eval")(cli_checkpoints.evaluate)
app.command("compare")(cli_compare.compare)
app.command("extract")(cli_extract.extract)
app.command("detect")(cli_detect.detect)
app.command("demo-video")(cli_demo_video.demo_video)
app.command("predict")(cli_detect.predict)
app.command("score")(cli_score.score)
app.command("study")(cli_study.study)
app.command("plot")(cli_plot.plot)
app.command("embed")(cli_plot.embed)
app.command("submit")(cli_submission.submit)
app.command("verify-submission")(cli_submission.verify_submission)
app.command("check-method")(cli_methods.check_method)
app.command("new-method")(cli_methods.new_method)


def main() -> None:
    """Run the command line and exit.

    Whatever goes wrong ends in one line, exit code 1 (failed), 2 (wrong input) or 130 (interrupted); `--debug` shows
    the traceback before it.
    """
    with any_streams(), ending("--debug" in sys.argv):
        arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
        code = _command()(arguments, prog_name="harness", standalone_mode=False)
        if code == INTERRUPTED:  # the library that parses the command line makes an exit code of it
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(code)


@functools.cache
def _command() -> Any:
    """The commands as the library that parses them sees them, built once in a process: a tenth of a second."""
    return typer.main.get_command(app)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every verb."""


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, protocols or runs")],
    dataset: selectors.Datasets = None,
    methods: selectors.Methods = None,
    features: selectors.Features = None,
    seeds: selectors.Seeds = None,
    preset: selectors.Preset = None,
    selection: selectors.Selection = None,
    where: selectors.WhereText = None,
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """List methods, dataset cards, protocols of extraction, or recorded runs, of which selectors leave some."""
    from harness.cli import listing
    from harness.console import print_json, tell

    only = selectors.run_filter(dataset, methods, features, seeds, preset, selection, where)
    if what != "runs" and not only.empty:
        raise UserError(f"harness list {what} {only.words}: only runs are chosen by these options")
    tables: dict[str, Callable[[], list[listing.Row]]] = {
        "methods": listing.methods,
        "datasets": listing.datasets,
        "protocols": listing.protocols,
        "runs": lambda: listing.runs(tracking_uri, out, only),
    }
    if what not in tables:
        raise UserError(f"harness list {what}: expected methods, datasets, protocols or runs")
    rows = tables[what]()
    broken = listing.broken_methods() if what == "methods" else []
    if json:
        print_json({what: rows, **({"broken": broken} if broken else {})})
        return
    listing.show(what, rows)
    for line in broken:
        tell(f"cannot be used: {line}")


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
    dataset: selectors.Datasets = None,
    methods: selectors.Methods = None,
    features: selectors.Features = None,
    seeds: selectors.Seeds = None,
    preset: selectors.Preset = None,
    selection: selectors.Selection = None,
    where: selectors.WhereText = None,
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Write recorded runs to OUT/report: a site that opens from disk (index.html), and the same as tables.

    All of them, or those that selectors such as --dataset leave.
    """
    from harness.console import out as screen
    from harness.console import print_json, say, tell
    from harness.report.leaderboard.board import board_dict
    from harness.report.publish import publish_report
    from harness.report.site.pages_branch import publish_site
    from harness.report.terminal import print_leaderboard
    from harness.tracking.tracker import Tracker

    only = selectors.run_filter(dataset, methods, features, seeds, preset, selection, where)
    wanted = [word.strip() for word in formats.split(",") if word.strip()]
    readonly = out.is_dir() and not os.access(out, os.W_OK)
    with tempfile.TemporaryDirectory() as scratch:
        place = (Path(scratch) if target else None) if readonly else out / "report"
        leaderboard, paths = publish_report(Tracker(tracking_uri, out), wanted, also or (), place, only)
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
            tell(f"wrote {path}")
        if target:
            tell(f"committed to {target}; push it with: {push}" if push else f"published to {target}")
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
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Compare our numbers with the official implementations'; exit code 1 if a case does not hold."""
    from harness.cli import listing
    from harness.console import print_json
    from harness.parity import cases as checks
    from harness.parity import record as fidelity

    found = [checks.read_case(path, lists) for path in checks.case_directories(cases)]
    checks.require_adapters(found)
    results = [checks.check_case(case, options.device(device)) for case in found]
    if device == "cpu":  # the official numbers are those of a CPU
        fidelity.keep(results, record or fidelity.own_record())
    if json:
        print_json({"cases": [result.as_json() for result in results]})
    else:
        listing.show_parity(results)
    if not all(result.ok for result in results):
        raise typer.Exit(1)
