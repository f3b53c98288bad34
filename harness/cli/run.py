"""`harness run`: a matrix from the command line or a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.options import Device, Json, Out, Precision, Set, TextTower, TrackingUri
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.api.execution import Executed, Execution, Variants
    from harness.runs.matrix import Plan


def run(
    context: typer.Context,
    methods: Annotated[
        str | None, typer.Option(help="Names, aliases or groups (all, mil, clip, floor), comma-separated.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Dataset cards: names or YAML files, comma-separated.")] = "demo",
    train: Annotated[
        str | None, typer.Option("--train", help="The same as --dataset, beside --test: what is trained on.")
    ] = None,
    test: Annotated[
        str | None,
        typer.Option("--test", help="Data sets on which each training is tested as well, without training again."),
    ] = None,
    causal: Annotated[
        bool, typer.Option("--causal", help="Test also as if videos were being recorded: no score sees what follows.")
    ] = False,
    open_vocabulary: Annotated[
        bool,
        typer.Option("--open-vocabulary", help="Train on the data set's base classes alone; novel ones are scored."),
    ] = False,
    disturbances: Annotated[
        str | None,
        typer.Option(help="Also with a disturbed training or test: 'label-noise 0.2', ...; see `harness study`."),
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Feature sets of the cards, comma-separated; default: each card's first.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds.")] = "0",
    selection: Annotated[str, typer.Option(help="last, val, oracle or paper; several comma-separated.")] = "last",
    set_: Set = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", help="METHOD.key=value,value,...; may be repeated: every combination is run."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="fast or paper; default: the card's.")] = None,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Also run each method with one of its parts switched off at a time.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A matrix as YAML, in place of the options above.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs with the time that earlier ones took, and stop.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time; the cores are shared out evenly.")] = 1,
    executor: Annotated[
        str, typer.Option(help="local (worker processes), ray, or inline (this process, for debuggers).")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="A running Ray cluster; default: one on this machine.")
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, help="GPUs of one run under --executor ray; fractions share one.")
    ] = 1.0,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds after which a run is ended as failed.")
    ] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option("--memory-limit", help="Memory of one run with all its processes (4GB); a larger one is ended."),
    ] = None,
    device: Device = "cpu",
    precision: Precision = "fp32",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile training steps with torch.compile; rounds otherwise.")
    ] = False,
    text_tower: TextTower = None,
    stability: Annotated[
        bool,
        typer.Option("--stability", help="Also each run's variants that only round otherwise: how far its AUC goes."),
    ] = False,
    grid: Annotated[
        str, typer.Option("--stability-grid", help="full: eight variants of a run on most processors; quick: four.")
    ] = "full",
    rerun: Annotated[
        bool, typer.Option("--rerun/--resume", help="Compute finished runs again, or skip them and go on.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Make leaderboard and report; `harness report` does it later.")
    ] = True,
    system_metrics: Annotated[
        bool, typer.Option("--system-metrics", help="Sample processor, memory, disk, network and GPUs during each run.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="First hash every file of the data sets and of finished runs in full.")
    ] = False,
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Train, evaluate, track and publish: one run per method, data set and seed, then leaderboard and report."""
    from harness.api.execution import Execution, execute, threads_of_a_run
    from harness.cli.progress import Live
    from harness.records.request import Matrix
    from harness.runs.inputs import check_inputs
    from harness.runs.matrix import plan, read_matrix

    if file is not None:
        sources = {name: getattr(context.get_parameter_source(name), "name", "") for name in _MATRIX}
        given = [name for name, source in sources.items() if source == "COMMANDLINE"]
        if given:
            option = "--compile" if given[0] == "compiled" else "--" + given[0].rstrip("_").replace("_", "-")
            raise UserError(f"{option} and --file: the file holds the whole matrix; write {option} into it")
        matrix = read_matrix(file)
        options.precision(matrix.precision, options.device(matrix.device))
    elif train is not None and getattr(context.get_parameter_source("dataset"), "name", "") == "COMMANDLINE":
        raise UserError("--train and --dataset say the same; give one of them")
    elif methods is None:
        raise UserError("--methods or --file is missing; see `harness list methods`")
    else:
        matrix = Matrix(
            methods=tuple(methods.split(",")),
            datasets=tuple(options.words("--train", train) if train else options.words("--dataset", dataset)),
            features=tuple(options.words("--features", features)) if features is not None else (),
            seeds=options.seeds(seeds),
            selection=tuple(
                options.one_of("--selection", word, ("last", "val", "oracle", "paper"))
                for word in options.words("--selection", selection)
            ),
            set=options.overrides(set_ or []),
            sweep=options.sweeps(sweep or []),
            preset=preset,
            ablations=ablations,
            device=options.device(device),
            precision=options.precision(precision, device),
            compiled=compiled,
            text_tower=text_tower,
            tests=tuple(options.words("--test", test)) if test is not None else (),
            causal=causal,
            open_vocabulary=open_vocabulary,
            disturbances=tuple(options.words("--disturbances", disturbances)) if disturbances is not None else (),
        )
    variants: Variants = options.one_of("--stability-grid", grid, ("full", "quick"))
    execution = Execution(
        out=out,
        tracking_uri=tracking_uri,
        executor=options.one_of("--executor", executor, ("local", "ray", "inline")),
        jobs=jobs,
        timeout=timeout,
        memory_limit=options.memory_size("--memory-limit", memory_limit),
        ray_address=ray_address,
        gpus=gpus if matrix.device == "cuda" else 0.0,
        stability=variants if stability else None,
        report=report,
        system_metrics=system_metrics,
    )
    planned = plan(matrix, out, threads_of_a_run(jobs), fresh=rerun)
    if dry_run:
        _show(planned, jobs, json)
        return
    check_inputs(planned.all, full=verify)
    _show_executed(execute(planned, execution, Live), execution, json)


# Parameters of `run` that say what is run, not how.
_MATRIX = (
    *("methods", "dataset", "features", "seeds", "selection", "set_", "sweep", "preset", "ablations", "device"),
    *("precision", "compiled", "text_tower", "train", "test", "causal", "open_vocabulary", "disturbances"),
)


def _show(planned: Plan, jobs: int, json: bool) -> None:
    from harness.cli import dry_run
    from harness.console import print_json, tell

    if json:
        print_json({"runs": dry_run.rows(planned.all), "refused": [result.error for result in planned.refused]})
        return
    dry_run.show(planned.all, jobs)
    for line in (
        *planned.left_out,
        *planned.notes,
        *dict.fromkeys(f"refused: {result.error}" for result in planned.refused),
    ):
        tell(line)


def _show_executed(done: Executed, execution: Execution, json: bool) -> None:
    from dataclasses import asdict

    from harness.cli import listing
    from harness.console import out as screen
    from harness.console import print_json, say, tell
    from harness.report.leaderboard.board import board_dict
    from harness.report.terminal import print_leaderboard, print_transfers
    from harness.tracking.tracker import Tracker

    wanted = {result.dataset for result in done.results}
    boards = [board for board in done.leaderboard.boards if board.dataset in wanted]
    if json:
        runs: list[dict[str, Any]] = [result.model_dump(mode="json") for result in done.results]
        cells = done.leaderboard.transfers
        moved = {"transfers": asdict(cells)} if cells.cells else {}
        measured = {"stability": [spread.as_json() for spread in done.spreads]} if execution.stability else {}
        print_json({"runs": runs, "leaderboard": [board_dict(board) for board in boards], **moved, **measured})
    else:
        if execution.report:
            print_leaderboard(boards, screen)
            print_transfers(done.leaderboard.transfers, screen)
        else:
            listing.show("runs", [listing.row_of(result) for result in done.results])
        if done.spreads:
            listing.show_spreads(list(done.spreads))
        for path in done.files:
            tell(f"wrote {path}")
        tell(f"runs in MLflow: {Tracker(execution.tracking_uri, execution.out).address}")
    for line in done.problems:
        say(f"failed: {line}")
    if done.problems:
        raise typer.Exit(1)
