"""`harness demo-video`: the whole way from video files to a page of detections, on synthetic clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo_video(
    out: Annotated[Path, typer.Option("--out", help="Directory of clips, runs and pages.")] = Path("demo-video"),
    method: Annotated[str, typer.Option(help="Name or alias of the method that is trained.")] = "linear-probe",
) -> None:
    """Make thirty short clips, extract features, train a method and find events in clips it never saw; two minutes."""
    from harness.api.demo_video import demo_video as make
    from harness.cli.detect import show_events
    from harness.console import progress, say, tell

    result, found = make(out, method, say, progress)
    tell(f"{result.method} on {result.dataset}: frame AUC {100 * result.metrics['frame_auc']:.1f} on clips of the test")
    show_events(found.detections, found.threshold)
    tell(f"wrote {out / 'detections' / 'index.html'}")
