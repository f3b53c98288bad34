"""A comparison in a terminal, within 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from harness.comparison.page import METRICS, chance, correction, coverage, deciding, headline, points, share, tested
from harness.comparison.result import ComparisonResult, PairVideos, Standing
from harness.console import Screen
from harness.metrics.paired import Difference
from harness.printable import shortened
from harness.records.truth import GroundTruth
from harness.report.figures import label, percent


def print_comparison(found: ComparisonResult, truth: GroundTruth, cautions: Sequence[str], console: Screen) -> None:
    """Print sides, then pair by pair the verdicts, classes, and the videos that make the difference."""
    console.print(_sides(found.standings))
    standings = {standing.name: standing for standing in found.standings}
    for pair in found.videos:
        console.print(_pair(found, pair))
        first = next((verdict for verdict in found.verdicts if (verdict.a, verdict.b) == (pair.a, pair.b)), None)
        if first and first.metric == "frame_auc":
            lines = [headline(first, standings[pair.a], standings[pair.b]), deciding(pair, first, len(truth.videos))]
            lines += [f"{pair.a} gained most on {_named(pair.gains, truth)}."] if pair.gains else []
            lines += [f"{pair.a} lost most on {_named(pair.losses, truth)}."] if pair.losses else []
            for line in lines:
                console.print(line)
            console.print()
    console.print(notes(found, truth), style="dim")
    for caution in [*cautions, *coverage(found.standings, truth)]:
        console.print(f"caution: {caution}", style="yellow")


def notes(found: ComparisonResult, truth: GroundTruth) -> str:
    """Return what the numbers are, in plain sentences."""
    return (
        f"{len(truth.videos)} test videos of {truth.dataset}. Percent, mean ± sd between n seeds; m: 95% interval of "
        "the method, by seeds and test videos, v: of these weights, by test videos alone. Differences in points: 95% "
        f"interval over {found.resamples:,} resamples of the test videos, the same for all; ± seeds: standard error by "
        f"seeds; total: both, which decides. p: {tested(found)}, {correction(found)}. P(A>B): probability that A "
        "leads. Ahead: p below 0.05 and a total without 0. Classes (videos): AUC against all normal videos, not "
        "tested; over a handful of videos an interval is too narrow."
    )


def _sides(standings: Sequence[Standing]) -> Table:
    shown = [name for name in METRICS if any(name in standing.metrics for standing in standings)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("side", overflow="fold", min_width=10)
    table.add_column("n", justify="right")
    for name in shown:
        table.add_column(label(name), justify="right")
    for standing in standings:
        table.add_row(shortened(standing.name), str(standing.seeds), *(_mean(standing, name) for name in shown))
    return table


def _mean(standing: Standing, metric: str) -> str:
    text = percent(standing.mean(metric))
    text += f" ± {percent(sd)}" if (sd := standing.sd(metric)) is not None else ""
    for mark, ends in (("m", standing.total(metric)), ("v", standing.videos(metric))):
        text += f"\n{mark} [{percent(ends[0], 1)}, {percent(ends[1], 1)}]" if ends else ""
    return text


def _pair(found: ComparisonResult, pair: PairVideos) -> Table:
    table = Table(title=f"{shortened(pair.a)} minus {shortened(pair.b)}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("metric", overflow="fold")
    for heading in ("points", "videos 95%", "± seeds", "total 95%", "p", "P(A>B)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    for verdict in found.verdicts:
        if (verdict.a, verdict.b) == (pair.a, pair.b):
            d = verdict.difference
            table.add_row(
                label(verdict.metric),
                points(d.value),
                *_sources(d),
                chance(verdict.p_value),
                share(d.ahead),
                shortened(verdict.verdict, 200),
                style="bold" if verdict.sure else "",
            )
    table.add_section()
    for each in found.classes:
        if (each.a, each.b) == (pair.a, pair.b):
            name = f"{shortened(each.name)} ({each.videos})"
            d = each.difference
            table.add_row(name, points(d.value), *_sources(d), "", share(d.ahead), "")
    return table


def _sources(d: Difference) -> tuple[str, str, str]:
    """The interval by test videos, the standard error by seeds, and the interval by both."""
    videos, total = _interval(d.videos_low, d.videos_high), _interval(d.low, d.high)
    return videos, "-" if d.seeds is None else f"{100 * d.seeds:.2f}", total if d.seeds is not None else "-"


def _interval(low: float, high: float) -> str:
    return f"[{points(low)}, {points(high)}]"


def _named(videos: Sequence[tuple[str, float]], truth: GroundTruth) -> str:
    def kind(name: str) -> str:
        return ", ".join(truth.classes[index] for index in truth.videos[name].labels)

    return "; ".join(f"{name} ({kind(name)}) {points(value)}" for name, value in videos)
