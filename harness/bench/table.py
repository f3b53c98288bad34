"""A benchmark in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.bench.regressions import Change


def show(document: dict[str, Any], changes: Sequence[Change] | None) -> None:
    """Print the rows, and what changed against an earlier benchmark (None: there is none)."""
    from rich import box
    from rich.table import Column, Table

    from harness.console import out
    from harness.report.figures import count, short

    table = Table(Column("method", no_wrap=True), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in (
        *("frames\n/s", "best\nbatch", "10 s\np50 ms", "\np99", "10 min\np50 ms", "snippet\nms", "MB", "params"),
        *("G\nFLOP", "growth", "step\ns", "train\nh", "roof\n%"),
    ):
        table.add_column(heading, justify="right", no_wrap=heading not in ("best\nbatch", "roof\n%"))
    for row in document["rows"]:
        table.add_row(
            row["method"],
            count(row["frames_per_second"]),
            f"{count(row['best_frames_per_second'])} ({row['best_batch']})",
            short(row["latency_ms"]["p50"], 1),
            short(row["latency_ms"]["p99"], 1),
            short(row["long_latency_ms"]["p50"], 1),
            short(row["streaming_ms"], 2),
            short(row["peak_memory_mb"], 0),
            count(row["parameters"]),
            f"{row['flops'] / 1e9:.3g}",
            "-" if row["exponent"] is None else f"T^{row['exponent']:.2f}",
            short(row["step_seconds"], 3),
            short(row["full_training_hours"], 2),
            " ".join(_share(row.get(name)) for name in ("pass_roofline", "step_roofline")),
        )
    out.print(table)
    first, machine = document["rows"][0], document["machine"]
    where = machine.get("gpu") if first["device"] == "cuda" else machine.get("processor")
    out.print(
        f"videos of 256 snippets of {first['dim']}-d features, preset {first['preset']}, {first['precision']}, "
        f"{first['threads']} threads on {where}; MB: beyond the method, for 10 minutes; snippet: one more of a running "
        "camera, scored by what has been seen; train: the whole schedule, extrapolated from single steps; roof: share "
        "of what the machine could do in a test pass and in a training step, bound by compute (c) or memory (m)",
    )
    if changes is None:
        return
    for change in changes:
        if change.slower or change.ratio > 1.1:
            word = "SLOWER" if change.slower else "faster"
            out.print(
                f"{word} {change.method} {change.figure}: x{change.ratio:.2f} ({change.before:.4g} -> "
                f"{change.after:.4g})",
            )
    slower = sum(change.slower for change in changes)
    out.print(f"{len(changes)} figures compared, {slower} slower")


def _share(roofline: dict[str, Any] | None) -> str:
    """The share of the attainable in per cent, with the first letter of what binds it."""
    return "-" if roofline is None else f"{100 * roofline['share']:.0f}{roofline['bound'][0]}"
