"""Extract the features of many videos into a directory: resumed where it was interrupted, damaged videos left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import UserError
from harness.io.locks import alone
from harness.plugin.tf32 import tf32
from harness.records.extraction import Recipe, TowerPrecision
from harness.records.protocol import Protocol
from harness.video.batches import BATCH, Meter, cores
from harness.video.decode import opened
from harness.video.extraction import Extraction, ExtractionWriter
from harness.video.pipeline import Pipeline
from harness.video.rows import Done
from harness.video.sources import Source
from harness.video.towers.tower import ImageTower

if TYPE_CHECKING:
    from harness.video.ray_pipeline import RayPipeline

Say = Callable[[str], None]
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Setup:
    """What an extraction computes with. `batch` pictures at a time (0: as fits the device), `readers` decode."""

    tower: ImageTower
    device: str = "cpu"
    precision: TowerPrecision = "fp32"
    batch: int = 0
    readers: int = 1
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None

    @property
    def pictures(self) -> int:
        """Pictures of one forward pass."""
        return self.batch or BATCH[self.device]


@dataclass
class Report:
    """What an extraction did: videos extracted now and before, and those left out with the reason, by name."""

    directory: Path
    recipe: Recipe
    done: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    rows: int = 0
    meter: Meter = field(default_factory=Meter)


def recipe_of(protocol: Protocol, setup: Setup) -> Recipe:
    """Return what the features of a protocol with this setup are; raises UserError where the tower does not fit it."""
    _check_fit(protocol, setup.tower)
    tower = setup.tower
    return Recipe(protocol=protocol, tower=tower.name, dim=tower.dim, precision=setup.precision, batch=setup.pictures)


def _check_fit(protocol: Protocol, tower: ImageTower) -> None:
    """Raise UserError where the protocol's pictures are not of the size that the tower takes."""
    if protocol.crops.size != tower.size:
        raise UserError(
            f"protocol {protocol.name} cuts squares of {protocol.crops.size} pixels, the image tower {tower.name} "
            f"takes {tower.size}; write `size: {tower.size}` under crops in a protocol of your own"
        )


def extract(
    videos: Sequence[Source],
    protocol: Protocol,
    setup: Setup,
    directory: Path,
    say: Say,
    progress: Callable[[str], AbstractContextManager[Tick]],
    crop_files: bool = False,
) -> Report:
    """Extract videos into `directory`, one after another as they are finished.

    A video that gives nothing is said in one line and left out. Videos whose features are there already, made from the
    same file by the same recipe, are not decoded again.

    Raises:
        UserError: the directory holds features of another recipe, or the tower does not fit the protocol.
        Unwritable: the directory cannot be written.
    """
    recipe = recipe_of(protocol, setup)
    report = Report(directory, recipe)
    with alone(directory / ".lock"):
        writer = ExtractionWriter(directory, recipe)
        wanted = []
        for number, source in enumerate(videos):
            if writer.finished(source.name, source.path):
                report.before.append(source.name)
            else:
                wanted.append((number, source.path))
        old = set(Extraction(directory).videos) - set(report.before)  # of files that have changed since
        if report.before:
            say(f"{len(report.before):,} of {len(videos):,} videos are extracted already")
        with progress("extract") as tick, writer.rows(), computing(setup) as threads:
            pipeline = _pipeline(protocol, setup, report.meter, threads)
            try:
                with closing(pipeline.run(wanted)) as items:
                    for item in items:
                        source = videos[item.video]
                        if not isinstance(item, Done):
                            writer.add(source.name, item.values)
                            continue
                        _end(item, source, writer, report, say, crop_files)
                        tick(len(report.done) + len(report.left_out), len(wanted))
            except KeyboardInterrupt:
                # Counted on disk: the signal may come between a video's record and its line in the report.
                here = set(Extraction(directory).videos) - old | set(report.done)
                finished = sum(source.name in here for source in videos)
                say(f"{directory}: {finished:,} of {len(videos):,} videos are finished; the same command goes on")
                raise
        for name in report.before if crop_files else ():
            writer.write_crops(name)
        writer.conclude(report.left_out)
    if not report.done and not report.before:
        raise UserError(
            f"{directory}: none of {len(videos):,} videos gave features; {next(iter(report.left_out.values()))}"
        )
    return report


def _pipeline(protocol: Protocol, setup: Setup, meter: Meter, threads: int) -> Pipeline | RayPipeline:
    if setup.executor == "local":
        return Pipeline(protocol, setup.tower, setup.pictures, setup.readers, opened, meter, threads)
    from harness.video.ray_pipeline import RayPipeline

    tower = setup.tower.to("cpu")
    return RayPipeline(
        protocol, tower, setup.pictures, setup.device, setup.precision, threads, setup.ray_address, meter
    )


def _end(item: Done, source: Source, writer: ExtractionWriter, report: Report, say: Say, crop_files: bool) -> None:
    facts = item.facts
    if facts is None:
        writer.drop(source.name)
        report.left_out[source.name] = item.error
        say(f"left out: {item.error}")
        return
    if facts.cut_off:
        say(f"{source.path}: {facts.frames:,} frames decoded, the file announces {facts.announced:,}; is it cut off?")
    record = writer.finish(source.name, facts)
    if crop_files:
        writer.write_crops(source.name)
    report.done.append(source.name)
    report.frames += facts.frames
    report.rows += record.rows


@contextmanager
def computing(setup: Setup) -> Iterator[int]:
    """Put the tower where it computes, in its precision, meanwhile; yield how many batches it computes at a time."""
    import torch

    kinds = {"fp16": torch.float16, "bf16": torch.bfloat16}
    setup.tower.to(setup.device, kinds.get(setup.precision, torch.float32))
    with tf32(setup.precision == "tf32"), cores(setup.device) as threads:
        yield threads
