"""`harness audit`: what choosing weights on the test set bought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json, Out, TrackingUri


def audit(
    out: Out = Path("runs"),
    tracking_uri: TrackingUri = None,
    dataset: Annotated[str | None, typer.Option(help="Audit this data set alone.")] = None,
    json: Json = False,
) -> None:
    """Show, row by row of the leaderboards, what looking at the test set bought; looks at no test set itself."""
    from harness.console import out as screen
    from harness.console import print_json
    from harness.report.audit.build import audit as audited
    from harness.report.audit.terminal import print_audits
    from harness.tracking.tracker import Tracker

    found = audited(Tracker(tracking_uri, out), dataset)
    if json:
        print_json({"boards": [each.as_json() for each in found]})
    else:
        print_audits(found, screen)
