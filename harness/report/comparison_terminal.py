"""A comparison in a terminal, within 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.comparison import Comparison, PairVideos, Standing
from harness.report.comparison import METRICS, chance, correction, coverage, deciding, headline, points, share
from harness.report.figures import label, percent
from harness.truth import GroundTruth


def print_comparison(found: Comparison, truth: GroundTruth, cautions: Sequence[str], console: Console) -> None:
    """Print contestants, then pair by pair the verdicts, classes, and the videos that make the difference."""
    console.print(_contestants(found.standings))
    standings = {standing.name: standing for standing in found.standings}
    for pair in found.videos:
        console.print(_pair(found, pair))
        first = next((verdict for verdict in found.verdicts if (verdict.a, verdict.b) == (pair.a, pair.b)), None)
        if first and first.metric == "frame_auc":
            lines = [headline(first, standings[pair.a], standings[pair.b]), deciding(pair, first, len(truth.videos))]
            lines += [f"{pair.a} gained most on {_named(pair.gains, truth)}."] if pair.gains else []
            lines += [f"{pair.a} lost most on {_named(pair.losses, truth)}."] if pair.losses else []
            for line in lines:
                console.print(line, markup=False, highlight=False)
            console.print()
    console.print(notes(found, truth), style="dim", markup=False, highlight=False)
    for caution in [*cautions, *coverage(found.standings, truth)]:
        console.print(f"caution: {caution}", style="yellow", markup=False, highlight=False)


def notes(found: Comparison, truth: GroundTruth) -> str:
    """Return what the numbers are, in plain sentences."""
    return (
        f"{len(truth.videos)} test videos of {truth.dataset}. Percent, mean ± sd over n seeds; differences in points "
        f"with 95% intervals over {found.resamples:,} resamples of the test videos, the same for all. p: "
        f"{found.permutations:,} exchanges of the two by video, {correction(found)}. P(A>B): share of the resamples. "
        "Ahead: p below 0.05 and an interval without 0. Classes (videos): AUC against all normal videos, not tested; "
        "over a handful of videos an interval is too narrow."
    )


def _contestants(standings: Sequence[Standing]) -> Table:
    shown = [name for name in METRICS if any(name in standing.metrics for standing in standings)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("contestant", overflow="fold", min_width=10)
    table.add_column("n", justify="right")
    for name in shown:
        table.add_column(label(name), justify="right")
    for standing in standings:
        cells = [
            percent(standing.mean(name)) + (f" ± {percent(sd)}" if (sd := standing.sd(name)) is not None else "")
            for name in shown
        ]
        table.add_row(escape(standing.name), str(standing.seeds), *cells)
    return table


def _pair(found: Comparison, pair: PairVideos) -> Table:
    table = Table(title=escape(f"{pair.a} minus {pair.b}"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("metric", overflow="fold")
    for heading in ("points", "95% interval", "p", "P(A>B)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for verdict in found.verdicts:
        if (verdict.a, verdict.b) == (pair.a, pair.b):
            d = verdict.difference
            table.add_row(
                label(verdict.metric),
                points(d.value),
                _interval(d.low, d.high),
                chance(verdict.p_value),
                share(d.ahead),
                escape(verdict.verdict),
                style="bold" if verdict.sure else "",
            )
    table.add_section()
    for each in found.classes:
        if (each.a, each.b) == (pair.a, pair.b):
            name = escape(f"{each.name} ({each.videos})")
            table.add_row(name, points(each.value), _interval(each.low, each.high), "", share(each.ahead), "")
    return table


def _interval(low: float, high: float) -> str:
    return f"\\[{points(low)}, {points(high)}]"


def _named(videos: Sequence[tuple[str, float]], truth: GroundTruth) -> str:
    def kind(name: str) -> str:
        return ", ".join(truth.classes[index] for index in truth.videos[name].labels)

    return "; ".join(f"{name} ({kind(name)}) {points(value)}" for name, value in videos)
