"""`harness convert` and `harness eval`: official and own checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.options import Device, Json, Out, Precision, Set, TextTower, TrackingUri
from harness.errors import UserError


def convert(
    official: Annotated[list[Path], typer.Argument(help="Official checkpoint; several where a method has several.")],
    method: Annotated[str, typer.Option(help="Whose checkpoint it is.")],
    out: Annotated[Path, typer.Option(help="The file to write, .safetensors.")],
    dataset: Annotated[
        str | None, typer.Option(help="Dataset card whose settings it was trained with; default: the method's own.")
    ] = None,
    set_: Set = None,
    text_tower: TextTower = None,
    json: Json = False,
) -> None:
    """Translate an official checkpoint to safetensors with our names; nothing in it is executed."""
    from harness.console import print_json, say, tell
    from harness.data.cards import find_card
    from harness.plugin.method import Size
    from harness.registry import one_method
    from harness.weights import convert as conversion

    if out.suffix != ".safetensors":
        raise UserError(f"--out {out}: expected a name that ends in .safetensors")
    if os.path.realpath(out) in map(os.path.realpath, official):
        raise UserError(f"--out {out}: is the official file; choose another name")
    name = one_method(method)
    settings = options.overrides(set_ or [])
    if other := next((word for word in settings if word != name), None):
        raise UserError(f"--set {other}.…: the checkpoint is one of {name}")
    card = find_card(dataset) if dataset else None
    converted = conversion.convert(official, name, card, settings.get(name, {}), text_tower, say)
    converted.save(out)
    header, parameters = converted.header, Size.of(converted.method).total
    if json:
        print_json(
            {
                "file": str(out),
                **header.model_dump(mode="json", include={"method", "config", "dim", "source"}),
                "parameters": parameters,
                "entries": converted.entries,
                "unused": list(converted.unused),
            }
        )
        return
    unused = f", {len(converted.unused)} known ones of no use left out" if converted.unused else ""
    tell(f"{name} for {header.dim}-d features: {converted.entries} entries{unused}; {parameters:,} parameters")
    tell(f"wrote {out}")


def evaluate(
    checkpoint: Annotated[
        list[str], typer.Argument(help="Checkpoint, run directory or run id; official files with --method.")
    ],
    dataset: Annotated[str, typer.Option(help="Dataset card: a name or a YAML file.")],
    method: Annotated[str | None, typer.Option(help="Whose checkpoint it is; ours say it themselves.")] = None,
    features: Annotated[
        str | None, typer.Option(help="Feature set of the card; default: the one of the checkpoint's width.")
    ] = None,
    set_: Set = None,
    text_tower: TextTower = None,
    device: Device = "cpu",
    precision: Precision = "fp32",
    record: Annotated[bool, typer.Option("--record", help="Keep it as a run with a leaderboard row.")] = False,
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Evaluate one checkpoint: ours, a converted one, or an official file with --method."""
    from harness.cli import listing
    from harness.console import print_json, progress, say, tell
    from harness.runs.checkpoint_evaluation import EvaluationRequest, evaluate_checkpoint

    request = EvaluationRequest(
        checkpoints=tuple(checkpoint),
        dataset=dataset,
        method=method,
        features=features,
        overrides=options.overrides(set_ or []),
        text_tower=text_tower,
        device=options.device(device),
        precision=options.precision(precision, device),
        record=record,
        out=out,
    )
    result = evaluate_checkpoint(request, say, progress)
    for caution in result.cautions:
        say(f"caution: {caution}")
    if json:
        shown = {"metrics", "class_auc", "videos", "frames", "excluded", "method", "dataset", "features", "directory"}
        shown |= {"undefined", "cautions"}
        partial = result.spec.partial if result.spec else ""
        document = result.model_dump(mode="json", include=shown)
        print_json({**document, "partial": partial, "checkpoint": " ".join(checkpoint)})
    else:
        listing.show_metrics(result.metrics, result.class_auc, result.undefined)
        left_out = f", {len(result.excluded)} without features left out" if result.excluded else ""
        left_out += f"; incomplete data set: {result.spec.partial}" if result.spec and result.spec.partial else ""
        facts = f"{result.videos} test videos, {result.frames:,} frames{left_out}"
        tell(f"{result.method} on {result.dataset}/{result.features}: {facts}; percent")
    if record:
        from harness.tracking.tracker import Tracker

        Tracker(tracking_uri, out).record(Path(result.directory))
        say(f"recorded as {result.id}; `harness report --out {out}` shows it")
