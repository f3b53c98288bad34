"""Detections as pages that work offline: an overview, and for each video its player beside the curve of its scores."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from harness.detect.detection import Detection
from harness.detect.events import Threshold
from harness.io.atomic import write_text
from harness.paths import report_assets_dir
from harness.report.quoting import html_environment, script_json
from harness.version import __version__

# Size of the curve in its own units, and how many points it has at most.
WIDTH, HEIGHT, _POINTS = 1000, 160, 2000


@dataclass(frozen=True)
class Shown:
    """A detection with its thumbnails (JPEG, by peak frame), the video that a browser plays, and notes."""

    found: Detection
    thumbs: Mapping[int, bytes]
    player: Path | None = None
    annotated: Path | None = None
    note: str = ""


def write_pages(directory: Path, shown: Sequence[Shown], threshold: Threshold, facts: Mapping[str, str]) -> Path:
    """Write `index.html` and a page for each video into `directory`; return the path of the first.

    `facts` are what was computed with, in words.
    """
    assets = report_assets_dir()
    environment = html_environment(assets)
    css, script = ((assets / name).read_text(encoding="utf-8") for name in ("report.css", "detect.js"))
    own = (assets / "detect.css").read_text(encoding="utf-8")
    pages = [f"video-{number:04d}.html" for number in range(1, len(shown) + 1)]
    top = highest([each.found for each in shown], threshold)
    entries = [_entry(each, page, directory, threshold, top) for each, page in zip(shown, pages, strict=True)]
    common = {
        "css": css + own,
        "threshold": threshold,
        "facts": facts,
        "version": __version__,
        "box": (WIDTH, HEIGHT),
        "top": top,
    }
    for entry, each in zip(entries, shown, strict=True):
        text = environment.get_template("detection.html.j2").render(
            **common, entry=entry, script=script, data=script_json(_data(each.found))
        )
        write_text(directory / entry["page"], text)
    index = directory / "index.html"
    order = sorted(entries, key=lambda entry: -entry["peak"])
    write_text(index, environment.get_template("detections.html.j2").render(**common, entries=order))
    return index


def highest(found: Sequence[Detection], threshold: Threshold) -> float:
    """Return the score at the top of all curves: scores of many methods do not go from 0 to 1."""
    return max(1.05 * max([threshold.value, *(each.peak for each in found)]), 1e-9)


def _entry(shown: Shown, page: str, directory: Path, threshold: Threshold, top: float) -> dict[str, Any]:
    found = shown.found
    end = max(int(found.edges[-1]), 1)
    return {
        "video": found.video,
        "page": page,
        "peak": found.peak,
        "length": _time(found, end),
        "curve": _curve(found, top),
        "level": _height(threshold.value / top),
        "bands": [(round(WIDTH * e.start / end, 1), round(WIDTH * (e.end - e.start) / end, 1)) for e in found.events],
        "player": _address(shown.player, directory),
        "annotated": _address(shown.annotated, directory),
        "note": shown.note,
        "classes": found.classes,
        "events": [
            {
                "start": _time(found, event.start),
                "end": _time(found, event.end),
                "seek": (found.seconds(event.peak) or 0.0) if found.fps else None,
                "score": event.score,
                "label": event.label,
                "probability": event.probability,
                "thumb": base64.b64encode(shown.thumbs[event.peak]).decode() if event.peak in shown.thumbs else "",
            }
            for event in found.events
        ],
    }


def _data(found: Detection) -> dict[str, Any]:
    """What the script of a page needs: edges in seconds, scores, probabilities."""
    probabilities = found.probabilities
    return {
        "edges": [round(edge / found.fps, 3) for edge in found.edges.tolist()] if found.fps else [],
        "scores": [float(f"{score:.4g}") for score in found.scores],
        "classes": list(found.classes),
        "probabilities": [] if probabilities is None else np.round(probabilities.astype(float), 3).tolist(),
    }


def _curve(found: Detection, top: float) -> str:
    """The scores as steps of an SVG path; of many snippets, the highest of each group that shares a point."""
    scores, edges = found.scores.astype(float) / top, found.edges.astype(float)
    if len(scores) > _POINTS:
        groups = np.array_split(np.arange(len(scores)), _POINTS)
        edges = np.array([*(edges[group[0]] for group in groups), edges[-1]])
        scores = np.array([scores[group].max() for group in groups])
    x = WIDTH * edges / max(edges[-1], 1.0)
    steps = [f"H{right:.1f}V{_height(after):.1f}" for right, after in zip(x[1:-1], scores[1:], strict=True)]
    return f"M{x[0]:.1f} {_height(scores[0]):.1f}{''.join(steps)}H{x[-1]:.1f}"


def _height(part: float) -> float:
    """Where a part of the highest score lies, from the top; scores below 0 lie at the bottom."""
    return round(HEIGHT * (1 - min(max(part, 0.0), 1.0)), 1)


def _time(found: Detection, frame: int) -> str:
    seconds = found.seconds(frame)
    if seconds is None:
        return f"frame {frame:,}"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _address(path: Path | None, directory: Path) -> str:
    """The address of a file as the page names it, "" for none."""
    if path is None:
        return ""
    return quote(os.path.relpath(path, directory).replace(os.sep, "/"))
