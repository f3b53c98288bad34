"""`harness detect` and `harness predict`: videos, or features without labels, to scores and events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.extract import Batch, ImageTower, Jobs, TowerPrecision, setup_of
from harness.cli.options import Json, OutRead
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.detect.detection import Detection
    from harness.detect.events import Threshold
    from harness.detect.scorer import Scorer
    from harness.records.protocol import Protocol
    from harness.video.extract import Setup

Checkpoint = Annotated[
    str, typer.Option("--checkpoint", help="A checkpoint file, a run directory, or a run id in --out.")
]
OldRuns = Annotated[Path | None, typer.Option("--runs", hidden=True)]
Dataset = Annotated[
    str | None, typer.Option(help="Data set whose classes the method knows; a run directory says it itself.")
]
MethodName = Annotated[str | None, typer.Option("--method", help="Name of the method, for official files.")]
AnyFeatures = Annotated[
    bool, typer.Option("--any-features", help="Take features of another kind than those of the training.")
]
ThresholdValue = Annotated[float | None, typer.Option("--threshold", help="Scores above it make an event.")]
PerHour = Annotated[
    float | None,
    typer.Option(
        "--false-alarms-per-hour",
        help="Instead: so many false alarms on the normal test videos of its run; default: 10, without a run 0.5.",
    ),
]
Formats = Annotated[str, typer.Option(help="Comma-separated: csv, json, parquet.")]
To = Annotated[
    Path | None, typer.Option("--to", help="Directory of what is written; default: detections or predictions.")
]


def detect(
    videos: Annotated[list[str], typer.Argument(help="Video files, directories of them, or patterns.")],
    checkpoint: Checkpoint,
    to: To = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="Protocol of the features; default: that of the checkpoint's.")
    ] = None,
    image_tower: ImageTower = None,
    any_features: AnyFeatures = False,
    threshold: ThresholdValue = None,
    per_hour: PerHour = None,
    formats: Formats = "csv,json",
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Also write the videos with their scores drawn in.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Score a growing file, an address or a camera's number while it comes.")
    ] = False,
    idle: Annotated[
        float, typer.Option(min=0, help="With --stream: seconds without growth after which a file has ended.")
    ] = 10.0,
    dataset: Dataset = None,
    method: MethodName = None,
    text_tower: options.TextTower = None,
    out: OutRead = None,
    runs: OldRuns = None,
    jobs: Jobs = 1,
    batch: Batch = 0,
    device: options.Device = "cpu",
    precision: TowerPrecision = "fp32",
    json: Json = False,
) -> None:
    """Find events in videos with a checkpoint: scores, events, and a page with player and curve for each video."""
    from harness.console import print_json, progress, say, tell
    from harness.detect.detect import detect as detect_videos
    from harness.detect.detect import protocol_for
    from harness.detect.tables import as_document, check_formats
    from harness.video.sources import find_videos
    from harness.video.towers.loading import tower_for

    wanted = check_formats(formats)
    place, to = _places(out, to, runs, "detections")
    sources = [] if stream else find_videos(videos)
    scorer, limit = _scorer(checkpoint, place, dataset, method, text_tower, device, threshold, per_hour)
    chosen = protocol_for(scorer, protocol)
    source = image_tower or (None if any_features else tower_for(scorer.header.extraction))
    setup = setup_of(chosen, source, device, precision, batch, jobs)
    if stream:
        _watch(videos, scorer, chosen, setup, limit, to, idle, any_features, wanted, json)
        return
    found = detect_videos(
        sources, scorer, chosen, setup, limit, to, wanted, say, progress, annotate=annotate, anyway=any_features
    )
    if json:
        print_json({**as_document(found.detections, limit, found.origin), "left_out": found.left_out})
    else:
        show_events(found.detections, limit)
        for path in found.written:
            tell(f"wrote {path}")
    if found.left_out:
        raise typer.Exit(1)


def predict(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint file, a run directory, or a run id in --out.")],
    features: Annotated[
        Path, typer.Option(help="Features: a directory of `harness extract`, an imported bank, or .npy files.")
    ],
    to: To = None,
    any_features: AnyFeatures = False,
    threshold: ThresholdValue = None,
    per_hour: PerHour = None,
    formats: Formats = "csv",
    dataset: Dataset = None,
    method: MethodName = None,
    text_tower: options.TextTower = None,
    out: OutRead = None,
    runs: OldRuns = None,
    device: options.Device = "cpu",
    json: Json = False,
) -> None:
    """Score features that nobody has labelled."""
    from harness.console import print_json, tell
    from harness.detect.detect import origin_of, predict_features
    from harness.detect.tables import as_document, check_formats, write_tables
    from harness.video.feature_input import find_features

    wanted = check_formats(formats)
    place, to = _places(out, to, runs, "predictions")
    given = find_features(features)
    scorer, limit = _scorer(checkpoint, place, dataset, method, text_tower, device, threshold, per_hour)
    found = list(predict_features(given, scorer, limit, any_features))
    paths = write_tables(to, found, limit, origin_of(scorer, given.recipe), wanted)
    if json:
        print_json(as_document(found, limit, origin_of(scorer, given.recipe)))
        return
    show_events(found, limit)
    for path in paths:
        tell(f"wrote {path}")


def _places(out: Path | None, to: Path | None, runs: Path | None, usual: str) -> tuple[Path, Path]:
    """The directory of runs, and the one that is written to: until now these were --runs and --out."""
    if out is not None and to is None and (runs is not None or not any(out.glob("*/run.json"))):
        out, to = None, options.renamed("--out", "--to", out)
    if runs is not None:
        out = options.renamed("--runs", "--out", runs)
    return out or Path("runs"), to or Path(usual)


def _watch(
    videos: list[str],
    scorer: Scorer,
    protocol: Protocol,
    setup: Setup,
    threshold: Threshold,
    out: Path,
    idle: float,
    anyway: bool,
    formats: tuple[str, ...],
    json: bool,
) -> None:
    from harness.cli.detect_stream import watch
    from harness.console import print_json, say, tell
    from harness.detect.detect import check_fits, origin_of
    from harness.detect.tables import as_document, write_tables

    origin = origin_of(scorer, check_fits(scorer, protocol, setup, anyway, say))
    found = watch(videos, scorer, protocol, setup, threshold, out, idle)
    paths = write_tables(out, [found], threshold, origin, formats)
    if json:
        print_json(as_document([found], threshold, origin))
        return
    show_events([found], threshold)
    for path in paths:
        tell(f"wrote {path}")


def _scorer(
    checkpoint: str,
    runs: Path,
    dataset: str | None,
    method: str | None,
    text_tower: str | None,
    device: str,
    threshold: float | None,
    per_hour: float | None,
) -> tuple[Scorer, Threshold]:
    from harness.console import say
    from harness.detect.events import threshold_of
    from harness.detect.scorer import load_scorer

    scorer = load_scorer(
        checkpoint,
        runs,
        say,
        dataset=dataset,
        method=method,
        text_tower=text_tower,
        device=options.device(device),
    )
    return scorer, threshold_of(threshold, per_hour, scorer.run, scorer.card.fps)


def show_events(found: list[Detection], threshold: Threshold) -> None:
    """Print the events of detections, the first of many."""
    from harness.console import tell

    if not found:
        raise UserError("no video has features")
    events = [(each, event) for each in found for event in each.events]
    many = f"{_counted(len(found), 'video')}, {_counted(len(events), 'event')}"
    tell(f"{many} above {threshold.value:.4g} ({threshold.words})")
    for each, event in events[:_SHOWN]:
        tell(
            f"  {each.video}: {_span(each, event)}, score {event.score:.4g}{f', {event.label}' if event.label else ''}"
        )
    if len(events) > _SHOWN:
        tell(f"  and {len(events) - _SHOWN:,} more")


_SHOWN = 20


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _span(found: Detection, event: Any) -> str:
    start, end = found.seconds(event.start), found.seconds(event.end)
    if start is None or end is None:
        return f"frames {event.start:,} to {event.end:,}"
    return f"{start:.1f} to {end:.1f} s"
