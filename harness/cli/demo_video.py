"""`harness demo-video`: the whole way from video files to a page of detections, on synthetic clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import renamed


def demo_video(
    to: Annotated[Path, typer.Option(help="Directory of clips, runs and pages.")] = Path("demo-video"),
    method: Annotated[str, typer.Option(help="Name or alias of the method that is trained.")] = "linear-probe",
    out: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Make thirty short clips, extract features, train a method and find events in clips it never saw; two minutes."""
    from harness.api.demo_video import demo_video as make
    from harness.cli.detect import show_events
    from harness.console import progress, say, tell

    to = to if out is None else renamed("--out", "--to", out)
    result, found = make(to, method, say, progress)
    tell(f"{result.method} on {result.dataset}: frame AUC {100 * result.metrics['frame_auc']:.1f} on clips of the test")
    show_events(found.detections, found.threshold)
    tell(f"wrote {to / 'detections' / 'index.html'}")
