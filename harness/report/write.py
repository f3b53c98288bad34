"""Reports on disk: a site that works offline, and the same numbers as Markdown, CSV, JSON and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.io.atomic import write_json, write_text
from harness.report import tables
from harness.report.formats import FORMATS, check_formats
from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.site.kept import Kept
from harness.report.site.pages import write_site
from harness.report.throughput import tables as speeds


def write_report(
    leaderboard: Leaderboard,
    artifact: Artifact,
    directory: Path,
    formats: Sequence[str] = FORMATS[:4],
    cache: Path | None = None,
    kept: Kept | None = None,
) -> list[Path]:
    """Write the site for html and `leaderboard.<format>` for every other format; return the paths.

    What `harness bench` measured is in all of them but LaTeX, as CSV in `throughput.csv`.

    Costly statistics are kept in the directory `cache`, if one is given, `kept` is what an earlier report left.

    Raises:
        UserError: there is nothing to report, a format is unknown, or the directory cannot be written.
    """
    check_formats(formats)
    if not (leaderboard.boards or leaderboard.failures or leaderboard.throughput):
        raise UserError("no run to report; start with `harness run --methods all`")
    paths: list[Path] = []
    for name in dict.fromkeys(formats):
        path = directory / f"leaderboard.{name}"
        if name == "html":
            paths += write_site(leaderboard, artifact, directory, formats, cache, kept)
            continue
        if name == "json":
            write_json(path, leaderboard.to_dict())
        else:
            write = {"md": tables.markdown, "csv": tables.comma_separated, "tex": tables.latex}[name]
            write_text(path, write(leaderboard))
        paths.append(path)
        if name == "csv" and leaderboard.throughput:
            paths.append(directory / "throughput.csv")
            write_text(paths[-1], speeds.comma_separated(leaderboard.throughput))
    return paths
