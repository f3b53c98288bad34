"""A study as one page that works offline: a curve for each method, and the numbers beneath."""

from __future__ import annotations

from pathlib import Path

from harness.io.atomic import write_text
from harness.paths import report_assets_dir
from harness.report.figures import label, percent, signed
from harness.report.leaderboard.board import Figure
from harness.report.site import render
from harness.report.site.links import slug
from harness.report.site.plots import Axis, Plot, Series
from harness.report.study.curves import Curve, Point, Study

# Levels that lie as shares of each other.
_LOG = ("fewer-videos", "missing-crops")
_ASSETS = ("report.css", "site.css", "theme.js", "chart.js")


def write_page(path: Path, study: Study, command: str) -> None:
    """Write the self-contained page; `command` makes it again.

    Raises:
        Unwritable: the system refused.
    """
    write_text(path, page(study, command))


def address(study: Study) -> str:
    """Return the name of a study's page: two data sets never share one."""
    return f"{slug('-'.join((study.name, study.dataset, study.features)))}.html"


def page(study: Study, command: str, home_page: str = "") -> str:
    """Return the page that `write_page` writes; `home_page` is the address of the site that it is a part of."""
    environment, home = render.environment(()), report_assets_dir()
    environment.globals.update(span=span, claims=claims(study))
    text: str = environment.get_template("study.html.j2").render(
        study=study,
        plot=plot(study),
        command=command,
        home_page=home_page,
        **{name.replace(".", "_"): (home / name).read_text(encoding="utf-8") for name in _ASSETS},
    )
    return text


def plot(study: Study) -> Plot:
    """Return the picture of the curves, in percent, with a band for each method's interval."""
    series = tuple(_series(key, curve) for key, curve in enumerate(study.curves))
    values = [y for each in series for _, y in each.points]
    values += [end for each in series for _, *ends in each.band for end in ends]
    levels = [point.level for curve in study.curves for point in curve.points]
    return Plot(
        f"{label(study.metric)} by level",
        f"Mean over seeds; {claims(study)}",
        Axis.around(study.kind.axis + " (log scale)" * (study.name in _LOG), levels, log=study.name in _LOG),
        Axis.around(f"{label(study.metric)} in percent", values),
        series,
    )


def claims(study: Study) -> str:
    """Return of what the intervals speak, in a sentence."""
    speaks = {"method": "the methods, by seeds and test videos", "weights": "these weights, by test videos alone"}
    found = {curve.claim for curve in study.curves}
    if len(found) == 2:
        return "95% intervals are those of the method where it has several seeds, else of these weights alone."
    return f"95% intervals are those of {speaks[found.pop()] if found else speaks['weights']}."


def span(figure: Figure | None, points: bool = False) -> str:
    """Return the widest interval of a figure in percent, or of a difference in points; "" without one."""
    if figure is None or figure.widest is None:
        return ""
    low, high = map(signed if points else percent, figure.widest)
    return f"[{low}, {high}]"


def _series(key: int, curve: Curve) -> Series:
    points = sorted(curve.points, key=lambda point: point.level)
    return Series(
        curve.title + (f" ({curve.track})" if curve.track != "weak" else ""),
        tuple((point.level, 100 * point.figure.mean) for point in points),
        key,
        tuple(_ends(point) for point in points if point.figure.widest is not None),
        tuple((point.level, 100 * point.figure.mean, _said(curve, point)) for point in points),
    )


def _ends(point: Point) -> tuple[float, float, float]:
    low, high = point.figure.widest or (point.figure.mean, point.figure.mean)
    return point.level, 100 * low, 100 * high


def _said(curve: Curve, point: Point) -> str:
    return f"{curve.title} at {point.level:g}: {percent(point.figure.mean)} {span(point.figure)}".strip()
