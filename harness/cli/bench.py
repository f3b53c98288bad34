"""`harness bench`: the throughput leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.options import Device, Json, Out, Precision, Set, TextTower, TrackingUri
from harness.errors import UserError


def bench(
    methods: Annotated[str, typer.Option(help="Names, aliases or groups, comma-separated.")] = "all",
    dataset: Annotated[str, typer.Option(help="Dataset card whose classes, prompts and sizes count.")] = "ucf-crime",
    features: Annotated[str | None, typer.Option(help="Feature set whose width counts; default: its first.")] = None,
    preset: Annotated[str, typer.Option(help="fast or paper.")] = "paper",
    set_: Set = None,
    text_tower: TextTower = None,
    device: Device = "cpu",
    precision: Precision = "fp32",
    budget: Annotated[float, typer.Option(min=0.01, help="Seconds of one measurement; about twenty a method.")] = 2.0,
    training: Annotated[bool, typer.Option("--training/--no-training", help="Also time training steps.")] = True,
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", help="An earlier bench.json to compare with; given twice: compare these two."),
    ] = None,
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Measure speed, latency, memory and cost of methods on made-up features of real size."""
    from harness.bench import regressions
    from harness.console import print_json, say

    earlier = [regressions.read(path) for path in compare or []]
    if len(earlier) > 2:
        raise UserError("--compare: expected one or two files")
    if len(earlier) == 2:
        document = earlier[1]
    else:
        from harness.bench.run import BenchRequest, bench_all
        from harness.registry import resolve
        from harness.tracking.tracker import Tracker

        request = BenchRequest(
            methods=resolve(methods)[0],
            dataset=dataset,
            features=features,
            preset=preset,
            overrides=options.overrides(set_ or []),
            text_tower=text_tower,
            device=options.device(device),
            precision=options.precision(precision, device),
            budget=budget,
            training=training,
            out=out,
        )
        document = bench_all(request, Tracker(tracking_uri, out), say)
    changes = regressions.changes(earlier[0], document) if earlier else []
    if json:
        print_json({**document, "changes": [change.as_json() for change in changes]})
    else:
        from harness.bench import table

        table.show(document, None if not earlier else changes)
    if any(change.slower for change in changes):
        raise typer.Exit(1)
