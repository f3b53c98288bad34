"""Detections as tables: scores of every snippet and events, as csv, JSON or parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.detect.detection import Detection
from harness.detect.events import Threshold
from harness.errors import UserError
from harness.io.atomic import replacing, write_json
from harness.report.quoting import csv_cell

FORMATS = ("csv", "json", "parquet")


def check_formats(text: str) -> tuple[str, ...]:
    """Return the formats in a comma-separated text; raises UserError for an unknown one."""
    wanted = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in wanted or ("",):
        if word not in FORMATS:
            raise UserError(f"--formats {word!r}: expected {', '.join(FORMATS)}")
    return wanted


def write_tables(
    directory: Path,
    found: Sequence[Detection],
    threshold: Threshold,
    origin: Mapping[str, str],
    formats: Sequence[str],
) -> list[Path]:
    """Write `scores` and `events` in each format (JSON: one file `detections.json`); return the paths.

    `origin` is what they come from, see `harness.detect.detect.origin_of`.
    """
    import pandas as pd

    written = []
    tables = {
        "scores": pd.DataFrame([row for each in found for row in _snippets(each)]),
        "events": pd.DataFrame([row for each in found for row in _events(each)], columns=_EVENT),
    }
    for form in formats:
        if form == "json":
            written.append(directory / "detections.json")
            write_json(written[-1], as_document(found, threshold, origin))
            continue
        for name, table in tables.items():
            written.append(directory / f"{name}.{form}")
            with replacing(written[-1]) as temporary:
                if form == "csv":
                    table.map(csv_cell).to_csv(temporary, index=False, lineterminator="\n")
                else:
                    table.to_parquet(temporary, index=False)
    return written


def as_document(found: Sequence[Detection], threshold: Threshold, origin: Mapping[str, str]) -> dict[str, Any]:
    """Return detections as a JSON document; times are seconds, null where frames per second are not known."""
    return {
        **origin,
        "threshold": threshold.value,
        "threshold_from": threshold.words,
        "videos": [
            {
                "video": each.video,
                "frames": int(each.edges[-1]),
                "fps": each.fps or None,
                "classes": list(each.classes),
                "events": list(_events(each)),
                "snippets": [
                    {"start_frame": start, "end_frame": end, "score": score}
                    for start, end, score in zip(
                        each.edges[:-1].tolist(),
                        each.edges[1:].tolist(),
                        each.scores.astype(float).tolist(),
                        strict=True,
                    )
                ],
            }
            for each in found
        ],
    }


_EVENT = ["video", "start", "end", "start_frame", "end_frame", "peak_frame", "score", "label", "probability"]


def _events(found: Detection) -> list[dict[str, Any]]:
    return [
        {
            "video": event.video,
            "start": found.seconds(event.start),
            "end": found.seconds(event.end),
            "start_frame": event.start,
            "end_frame": event.end,
            "peak_frame": event.peak,
            "score": event.score,
            "label": event.label,
            "probability": event.probability,
        }
        for event in found.events
    ]


def _snippets(found: Detection) -> list[dict[str, Any]]:
    rows = []
    for index, score in enumerate(found.scores):
        start, end = int(found.edges[index]), int(found.edges[index + 1])
        row = {
            "video": found.video,
            "snippet": index,
            "start_frame": start,
            "end_frame": end,
            "start": found.seconds(start),
            "end": found.seconds(end),
            "score": float(score),
        }
        if found.probabilities is not None:
            row |= {f"p_{name}": float(p) for name, p in zip(found.classes, found.probabilities[index], strict=True)}
        rows.append(row)
    return rows
