"""Throughput boards as plain tables: Markdown for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from harness.report.figures import count, milliseconds, place, short
from harness.report.quoting import csv_cell, md_head, md_row, md_text
from harness.report.throughput.board import SpeedBoard, SpeedRow

# What is said of every board, wherever it stands.
WORDS = (
    "Measured by harness bench on made-up features of real size, each method in a process of its own; features are "
    "not extracted here. Frames/s: video frames in single videos of 256 snippets, ± half the distance between the "
    "quartiles; best batch: the same with as many videos at once as are fastest. 10 s and 10 min: milliseconds to "
    "score a video of that length. Snippet: one more of a running camera. Memory: beyond the method, for 10 minutes. "
    "FLOPs: of 256 snippets. Growth: the power of a video's length with which the time grows. Training: the whole "
    "schedule, extrapolated from single steps. Rows share a rank (=) that are within 10%, or twice the spread of "
    "either, of the fastest of their group. Only rows of one table were measured on the same hardware in the same way."
)
_HEAD = (
    *("Method", "Rank", "Frames/s", "Best batch", "10 s p50", "p95", "p99", "10 min p50", "p95", "p99", "Snippet"),
    *("Memory MB", "FLOPs", "Parameters", "Growth", "Step s", "Training h"),
)
_SHARES = ("p50", "p95", "p99")


def markdown(boards: Sequence[SpeedBoard]) -> list[str]:
    """Return the lines of one Markdown table for each board; none without boards."""
    if not boards:
        return []
    lines = ["## Throughput", "", md_text(WORDS), ""]
    for board in boards:
        lines += [f"### {md_text(board.machine)}: {md_text(board.subject)}", ""]
        lines += [f"> {md_text(caution)}" for caution in board.cautions] + [""] * bool(board.cautions)
        lines += md_head(_HEAD, ["---", *["---:"] * (len(_HEAD) - 1)])
        lines += [*(md_row(_cells(row)) for row in board.rows), ""]
    return lines


def _cells(row: SpeedRow) -> list[str]:
    found = row.figures
    said = ", ".join(filter(None, (found.text_tower, row.settings, row.source)))
    latencies = [milliseconds(times.get(s)) for times in (found.latency_ms, found.long_latency_ms) for s in _SHARES]
    return [
        row.title + (f" ({said})" if said else ""),
        place(row.rank, row.shared),
        f"{count(found.frames_per_second)} ± {100 * found.spread:.0f}%",
        f"{count(found.best_frames_per_second)} ({found.best_batch})",
        *latencies,
        milliseconds(found.streaming_ms) + (f" ({found.reading})" if found.reading else ""),
        short(found.peak_memory_mb, 1),
        count(found.flops),
        count(found.parameters),
        "-" if found.exponent is None else f"T^{found.exponent:.2f}",
        short(found.step_seconds, 3),
        short(found.full_training_hours, 2),
    ]


def comma_separated(boards: Sequence[SpeedBoard]) -> str:
    """Return one CSV for all boards, figures in full precision; `seconds_at_N` is for a video of N snippets."""
    shared = ("hardware", "cores", "device", "precision", "threads", "dataset", "features", "dim", "preset")
    facts = ("rank", "shared", "method", "title", "family", "settings", "time", "source")
    figures = ("text_tower", "frames_per_second", "snippets_per_second", "spread", "best_batch")
    rest = ("best_frames_per_second", "reading", "streaming_ms", "peak_memory_mb", "flops", "parameters")
    costs = ("trainable_parameters", "exponent", "step_seconds", "training_steps", "full_training_hours")
    lengths = sorted({length for board in boards for row in board.rows for length in row.figures.growth})
    plain = (*figures, *rest, *costs)
    columns = [*shared, *facts, *plain, *(f"{name}_{s}" for name in ("latency_ms", "long_latency_ms") for s in _SHARES)]
    columns += [f"seconds_at_{length}" for length in lengths]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for board in boards:
        for row in board.rows:
            found = row.figures
            cells: list[Any] = [getattr(board, name) for name in shared] + [getattr(row, name) for name in facts]
            cells += [getattr(found, name) for name in plain]
            cells += [times.get(s) for times in (found.latency_ms, found.long_latency_ms) for s in _SHARES]
            cells += [found.growth.get(length) for length in lengths]
            writer.writerow(map(csv_cell, cells))
    return stream.getvalue()
