"""`harness study`: how robust methods are, by standard disturbances of their training or test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.options import Device, Json, Out, Set, TextTower, TrackingUri
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.report.study.curves import Study


def study(
    name: Annotated[
        str,
        typer.Argument(
            help="label-noise or fewer-videos (each level is a training); feature-noise, missing-crops or "
            "dropped-audio (the test alone is disturbed, of the same weights).",
            show_default=False,
        ),
    ],
    methods: Annotated[str, typer.Option(help="Names, aliases or groups (all, mil, clip, floor), comma-separated.")],
    dataset: Annotated[str, typer.Option(help="Dataset card: a name or a YAML file.")] = "demo",
    features: Annotated[str | None, typer.Option(help="Feature set of the card; default: its first.")] = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds.")] = "0,1,2",
    levels: Annotated[
        str | None, typer.Option(help="Comma-separated; default: the standard ones of the study.")
    ] = None,
    set_: Set = None,
    preset: Annotated[str | None, typer.Option(help="fast or paper; default: the card's.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time; the cores are shared out evenly.")] = 1,
    executor: Annotated[str, typer.Option(help="local (worker processes), ray, or inline (this process).")] = "local",
    device: Device = "cpu",
    text_tower: TextTower = None,
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Run methods at growing levels of one disturbance, and write its page to OUT/study: curves, losses, intervals."""
    from harness.api import study as studies
    from harness.api.execution import Execution
    from harness.cli.progress import Live
    from harness.console import print_json, say, tell
    from harness.records.request import Matrix

    matrix = Matrix(
        methods=tuple(methods.split(",")),
        datasets=tuple(options.words("--dataset", dataset)),
        features=tuple(options.words("--features", features)) if features is not None else (),
        seeds=options.seeds(seeds),
        set=options.overrides(set_ or []),
        preset=preset,
        device=options.device(device),
        text_tower=text_tower,
    )
    execution = Execution(
        out=out,
        tracking_uri=tracking_uri,
        executor=options.one_of("--executor", executor, ("local", "ray", "inline")),
        jobs=jobs,
        gpus=1.0 if device == "cuda" else 0.0,
    )
    done = studies.study(name, None if levels is None else _levels(levels), matrix, execution, Live)
    for note in done.notes:
        say(note)
    if json:
        runs = [result.model_dump(mode="json") for result in done.results]
        found = done.study.as_json() if done.study else {"study": name, "curves": []}
        print_json({**found, "runs": runs, "page": str(done.page) if done.page else None})
    elif done.study is not None:
        _show(done.study)
        tell(f"wrote {done.page}")
    for line in done.problems:
        say(f"failed: {line}")
    if done.problems:
        raise typer.Exit(1)


def _levels(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in options.words("--levels", text))
    except ValueError as error:
        raise UserError(f"--levels {text!r}: expected numbers such as 0,0.1,0.2") from error


def _show(found: Study) -> None:
    from rich.table import Table

    from harness.console import out
    from harness.printable import shortened
    from harness.report.figures import label, percent, signed
    from harness.report.study.page import claims, span

    table = Table("method", "level", label(found.metric), "95% interval", "loss", "95% interval", title=found.name)
    for curve in found.curves:
        for point in curve.points:
            loss = (signed(point.loss.mean), span(point.loss, True)) if point.loss else ("", "")
            figure = point.figure
            table.add_row(shortened(curve.title), f"{point.level:g}", percent(figure.mean), span(figure), *loss)
    out.print(table)
    out.print(f"{found.kind.says} {claims(found)} Percent; loss in points.")
