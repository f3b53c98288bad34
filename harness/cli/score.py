"""`harness score`: metrics of any prediction file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.options import Json, Out, TrackingUri
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.records.result import RunResult
    from harness.runs.imported_scores import ImportRequest
    from harness.scoring.lines import Line
    from harness.scoring.score import Score, ScoringRequest


def score(
    file: Annotated[
        Path,
        typer.Argument(
            help="Predictions: npz of ours; csv, csv.gz, tsv or parquet with the columns video_id (or video), pred (or "
            "score), perhaps gt and segment; or a directory with one text file of segment scores per video."
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset card to score against: a name or a YAML file; default: the file's own column gt."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Directory of the card's annotation files, to score without importing features."),
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Feature set whose import or lists count; default: the first that is there.")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            help="What a row stands for: frames, snippets, segments (uniform), or a number of frames such as 16; "
            "default: what the counts say."
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score the videos that file and data set share, and list the others.")
    ] = False,
    fps: Annotated[float | None, typer.Option(help="Frames per second, for alarms; default: the card's.")] = None,
    threshold: Annotated[
        list[float] | None, typer.Option(help="Score above which there is an alarm, may be repeated; default: 0.5.")
    ] = None,
    false_alarms_per_hour: Annotated[
        list[float] | None,
        typer.Option(help="Also alarms at the threshold that keeps this rate on normal videos, may be repeated."),
    ] = None,
    iou: Annotated[float, typer.Option(help="Overlap with an alarm at which an event counts as found.")] = 0.5,
    as_: Annotated[
        str | None, typer.Option("--as", help="Also record the scores as a run of this method, with a board row.")
    ] = None,
    track: Annotated[
        str | None, typer.Option(help="With --as: weak, glance, audio-visual, zero-shot or training-free.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="With --as: where the scores are from, an address or text.")
    ] = None,
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    json: Json = False,
) -> None:
    """Score any prediction file: against a data set (imported, or by its annotation files), or by its own labels."""
    from harness.console import print_json, say
    from harness.scoring.score import ScoringRequest
    from harness.scoring.score import score_file as score_file

    if fps is not None and not 0 < fps < math.inf:
        raise UserError(f"--fps {fps:g}: expected frames per second above 0")
    if not 0 < iou <= 1:
        raise UserError(f"--iou {iou:g}: expected a number above 0, at most 1")
    if bad := [value for value in threshold or [] if not math.isfinite(value)]:
        raise UserError(f"--threshold {bad[0]:g}: expected a finite number")
    if bad := [value for value in false_alarms_per_hour or [] if not 0 <= value < math.inf]:
        raise UserError(f"--false-alarms-per-hour {bad[0]:g}: expected a number, at least 0")
    request = ScoringRequest(
        path=file,
        dataset=dataset,
        features=features,
        root=root,
        partial=partial,
        rows=rows,
        fps=fps,
        thresholds=tuple(threshold or ()),
        rates=tuple(false_alarms_per_hour or ()),
        iou=iou,
    )
    named = _named(request, as_, track, source, out)
    result = score_file(request)
    for line in result.warnings:
        say(f"warning: {line}")
    run = _recorded(named, tracking_uri) if named else None
    if json:
        print_json({**_document(file, dataset, result), **({"run": run.model_dump(mode="json")} if run else {})})
    else:
        _show(file, dataset, result)


def _named(
    request: ScoringRequest, name: str | None, track: str | None, source: str | None, out: Path
) -> ImportRequest | None:
    """What is to be recorded; None where nothing is."""
    if name is None:
        for option, value in (("--track", track), ("--source", source)):
            if value is not None:
                raise UserError(f"{option}: belongs to scores that are recorded; name their method with --as")
        return None
    from harness.records.track import TRACKS
    from harness.runs.imported_scores import ImportRequest

    if request.dataset is None:
        raise UserError("--as: a run is of a data set; name it with --dataset")
    if track is None:
        raise UserError(f"--as: say with --track what the method works with: {', '.join(TRACKS)}")
    return ImportRequest(request, name, options.one_of("--track", track, tuple(TRACKS)), source or "", out)


def _recorded(request: ImportRequest, tracking_uri: str | None) -> RunResult:
    from harness.console import say
    from harness.runs.imported_scores import record_scores
    from harness.tracking.tracker import Tracker

    result = record_scores(request)
    Tracker(tracking_uri, request.out).record(Path(result.directory))
    say(f"recorded as {result.id}; `harness report --out {request.out}` shows it")
    return result


def _document(file: Path, dataset: str | None, result: Score) -> dict[str, object]:
    from dataclasses import asdict

    evaluation = result.evaluation
    return {
        "file": str(file),
        "dataset": dataset,
        "metrics": {line.name: line.value for line in result.lines},
        "intervals": {line.name: line.interval and list(line.interval) for line in result.lines},
        "class_auc": {line.name: line.value for line in result.classes},
        "details": {line.name: line.as_json() for line in result.lines},
        "class_details": {line.name: line.as_json() for line in result.classes},
        "undefined": list(evaluation.undefined),
        "videos": evaluation.videos,
        "counted": evaluation.frames,
        "unit": result.unit,
        "frames": evaluation.frames if result.unit == "frames" else None,
        "excluded": list(result.excluded),
        "ignored": list(result.ignored),
        "rows": result.rows,
        "warnings": [*result.warnings, *filter(None, [result.undefined])],
        "fps": result.fps or None,
        "alarms": [{**asdict(each.alarms), "false_alarms_per_hour": each.rate} for each in result.alarms],
    }


def _show(file: Path, dataset: str | None, result: Score) -> None:
    from harness.console import tell

    _show_lines(result)
    if result.alarms:
        _show_alarms(result)
    evaluation = result.evaluation
    facts = f"{evaluation.videos} videos, {evaluation.frames:,} {result.unit}, "
    facts += f"rows are {result.rows}" if result.unit == "frames" else "which count once each"
    for names, what in ((result.excluded, "test videos left out"), (result.ignored, "that are no test videos ignored")):
        facts += f", {len(names)} {what}" if names else ""
    tell(f"{file.name} on {dataset or 'its own labels'}: {facts}")


def _show_lines(result: Score) -> None:
    """Print metrics and classes with unit, interval and what they count, then once each why something is missing."""
    from rich.table import Column, Table

    from harness.console import out
    from harness.printable import shortened
    from harness.report.figures import label, ordered, percent
    from harness.scoring.lines import ONLY

    one = result.unit.removesuffix("s").capitalize()
    reasons: dict[str, list[str]] = {}

    def row(name: str, line: Line) -> None:
        for reason in filter(None, (line.reason, line.note)):
            reasons.setdefault(reason, []).append(name)
        value = "-" if line.value is None else f"{percent(line.value)} %"
        ends = "-" if line.interval is None else f"{percent(line.interval[0])} to {percent(line.interval[1])} %"
        table.add_row(name, value, ends, f"{line.count:,} {line.counted}")

    table = Table("metric", Column("value", justify="right"), Column("95% interval over videos", justify="right"), "of")
    lines = {line.name: line for line in result.lines}
    for name in ordered(lines):
        # Where nothing of mAP is defined its mean says it for all.
        if lines[name].value is not None or "@" not in name:
            row(label(name).replace("Frame", one), lines[name])
    table.add_section()
    for line in (line for line in result.classes if line.reason != ONLY):
        row(f"AUC {shortened(line.name)}", line)
    out.print(table)
    for reason, names in reasons.items():
        some = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        out.print(f"{some}: {reason}", style="dim")


def _show_alarms(result: Score) -> None:
    from rich.table import Table

    from harness.console import out
    from harness.report.figures import duration, percent

    events, iou = result.alarms[0].alarms.events, result.alarms[0].alarms.iou
    table = Table("threshold", "false alarms an hour", "events met", f"found (IoU {iou:g})", "median delay")
    for each in result.alarms:
        found = each.alarms
        limit = "" if each.rate is None else f" (for {each.rate:g} an hour)"
        rate = "-" if found.per_hour is None else f"{found.per_hour:.2f}"
        shares = [f"{percent(share)} %" if share is not None else "-" for share in (found.detected, found.recall)]
        table.add_row(f"{found.threshold:.6g}{limit}", rate, *shares, duration(found.delay))
    out.print(table)
    out.print(f"{events} events, {result.fps:g} frames per second")
    for empty, why in (
        (any(each.alarms.per_hour is None for each in result.alarms), "false alarms: no test video is normal"),
        (not events, "events met, found and delay: no event is annotated"),
        (events and any(each.alarms.delay is None for each in result.alarms), "delay: no event has a score above it"),
    ):
        if empty:
            out.print(f"- {why}", style="dim")
