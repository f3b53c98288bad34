"""`harness extract`: videos to features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.options import Json
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.records.protocol import Protocol
    from harness.video.extract import Report, Setup

ProtocolName = Annotated[
    str, typer.Option("--protocol", help="Protocol of extraction: a name, or a YAML file. `vadclip` is the field's.")
]
ImageTower = Annotated[
    str | None,
    typer.Option(
        "--image-tower",
        help="Image weights: hub id, directory, or a file of OpenAI's CLIP; default: a small seeded tower.",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Videos that are decoded at the same time.")]
Batch = Annotated[
    int, typer.Option("--batch", min=0, help="Pictures of one forward pass; default: as fits the device.")
]
TowerPrecision = Annotated[str, typer.Option("--precision", help="fp32, tf32 (CUDA only), fp16 (CUDA only) or bf16.")]


def extract(
    sources: Annotated[list[str], typer.Argument(help="Video files, directories of them, or patterns.")],
    protocol: ProtocolName = "vadclip",
    to: Annotated[Path | None, typer.Option(help="Directory of the features; an interrupted one is resumed.")] = None,
    out: Annotated[Path | None, typer.Option(hidden=True)] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Instead of --to: the videos that the lists of this card name, for its import.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="With --dataset: directory of the lists; default: that of the card's YAML file.")
    ] = None,
    image_tower: ImageTower = None,
    crop_files: Annotated[
        bool, typer.Option("--crop-files", help="Also the community's files, NAME__k.npy for each crop, in TO/crops.")
    ] = False,
    jobs: Jobs = 1,
    batch: Batch = 0,
    device: options.Device = "cpu",
    precision: TowerPrecision = "fp32",
    executor: Annotated[str, typer.Option(help="local, or ray: decode on its CPUs, run towers on its GPUs.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="Ray cluster; default: one on this machine.")
    ] = None,
    json: Json = False,
) -> None:
    """Extract features from videos by a protocol, which says how pictures become rows; exit code 1 if one gave none."""
    from harness.console import print_json, progress, say, tell
    from harness.video.extract import extract as extract_videos
    from harness.video.protocols import find_protocol
    from harness.video.sources import find_videos

    if out is not None and to is None:
        to = options.renamed("--out", "--to", out)
    if (to is None) == (dataset is None):
        raise UserError("extract needs --to DIRECTORY for the features, or --dataset CARD")
    videos = find_videos(sources)
    chosen = find_protocol(protocol)
    setup = setup_of(chosen, image_tower, device, precision, batch, jobs)
    where = options.one_of("--executor", executor, ("local", "ray"))
    if ray_address is not None and where == "local":
        raise UserError("--ray-address: belongs to --executor ray")
    setup = replace(setup, executor=where, ray_address=ray_address)
    if to is not None:
        report = extract_videos(videos, chosen, setup, to, say, progress, crop_files)
    else:
        report = _for_card(str(dataset), annotations, sources, chosen, setup, crop_files)
    if json:
        print_json(as_json(report))
    else:
        tell(words(report))
    if report.left_out:
        raise typer.Exit(1)


def _for_card(
    dataset: str, annotations: Path | None, sources: list[str], protocol: Protocol, setup: Setup, crop_files: bool
) -> Report:
    from harness.console import progress, say
    from harness.data.cards import find_card
    from harness.video.data_set import extract_listed, lists_of

    card, lists = find_card(dataset), lists_of(dataset, annotations)
    report = extract_listed(card, sources, lists, protocol, setup, say, progress, crop_files=crop_files)
    given = "" if annotations is None else f" --annotations {annotations}"
    say(f"next: harness data import {dataset} --extracted {report.directory}{given}")
    return report


def setup_of(
    protocol: Protocol, image_tower: str | None, device: str, precision: str, batch: int = 0, jobs: int = 1
) -> Setup:
    """Return what to compute with; says so where random weights stand for a tower; raises UserError."""
    from harness.console import say
    from harness.video.extract import Setup
    from harness.video.towers.loading import load_image_tower

    chosen = options.one_of("--precision", precision, ("fp32", "tf32", "fp16", "bf16"))
    if precision in ("tf32", "fp16") and device != "cuda":
        raise UserError(f"--precision {precision}: only for --device cuda; use fp32 or bf16")
    place = options.device(device)
    tower = load_image_tower(image_tower)
    if image_tower is None:
        hint = f"; --image-tower {protocol.tower} has those that the protocol is meant for" if protocol.tower else ""
        say(f"image tower: {tower.name}{hint}")
    return Setup(tower, place, chosen, batch, jobs)


def words(report: Report) -> str:
    """Return what an extraction did, in a line."""
    meter = report.meter
    share = f", {meter.tower / meter.total:.0%} of the time in the tower" if meter.pictures and meter.total else ""
    pace = f", {meter.frames / meter.total:,.0f} frames a second" if meter.pictures and meter.total else ""
    if not report.done and not report.left_out:
        return f"nothing to do: all {len(report.before):,} videos were extracted before; see {report.directory}"
    left = f"; {len(report.left_out)} left out" if report.left_out else ""
    return (
        f"{len(report.done) + len(report.before):,} videos, {report.frames:,} frames now, {report.rows:,} rows now of "
        f"{report.recipe.dim}-d{pace}{share}{left}; wrote {report.directory}"
    )


def as_json(report: Report) -> dict[str, Any]:
    """Return what an extraction did as a JSON document."""
    recipe, meter = report.recipe, report.meter
    return {
        "directory": str(report.directory),
        "protocol": recipe.protocol.name,
        "protocol_hash": recipe.digest,
        "tower": recipe.tower,
        "dim": recipe.dim,
        "precision": recipe.precision,
        "videos": sorted([*report.done, *report.before]),
        "left_out": report.left_out,
        "frames": report.frames,
        "rows": report.rows,
        "seconds": round(meter.total, 3),
        "tower_seconds": round(meter.tower, 3),
    }
