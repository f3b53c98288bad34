"""A comparison in words, and as one page that works offline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.comparison.cautions import short_places, summarised
from harness.comparison.overlays import overlays
from harness.comparison.result import ComparisonResult, PairVideos, Standing, Verdict
from harness.comparison.statistics import Side
from harness.io.atomic import write_text
from harness.metrics.curves import PLACES
from harness.paths import report_assets_dir
from harness.records.truth import GroundTruth
from harness.report.figures import label, percent
from harness.report.quoting import html_environment, script_json

METRICS = ("frame_auc", "frame_ap", "abnormal_auc", "abnormal_ap", "video_auc", "map_avg")
# Names in a sentence.
NAMED = 5


def write_page(
    path: Path,
    found: ComparisonResult,
    sides: Sequence[Side],
    sources: Sequence[Sequence[str]],
    truth: GroundTruth,
    cautions: Sequence[str],
) -> None:
    """Write the self-contained page; every name in it is shown as text, whatever it contains.

    Args:
        sources: the runs or files behind each side.

    Raises:
        Unwritable: the system refused.
    """
    write_text(path, page(found, sides, sources, truth, cautions))


def page(
    found: ComparisonResult,
    sides: Sequence[Side],
    sources: Sequence[Sequence[str]],
    truth: GroundTruth,
    cautions: Sequence[str],
) -> str:
    """Return the page that `write_page` writes."""
    assets = report_assets_dir()
    environment = html_environment(assets)
    environment.globals.update(
        **{"percent": percent, "label": label, "points": _minus, "chance": chance, "share": share},
        **{
            "headline": headline,
            "correction": correction(found),
            "tested": tested(found),
            "deciding": deciding,
            "forest": _forest,
            "path": _path,
        },
    )
    standings = {standing.name: standing for standing in found.standings}
    pairs = [
        {
            **{"a": pair.a, "b": pair.b, "gains": pair.gains, "losses": pair.losses, "deciding": pair.deciding},
            "verdicts": [verdict for verdict in found.verdicts if (verdict.a, verdict.b) == (pair.a, pair.b)],
            "classes": [each for each in found.classes if (each.a, each.b) == (pair.a, pair.b)],
            "longest": max((abs(value) for _, value in pair.shown), default=1.0),
        }
        for pair in found.videos
    ]
    drawn = zip(found.videos, overlays(found.videos, sides, truth), strict=True)
    data = {
        "names": list(standings),
        "pairs": [{"names": [pair.a, pair.b], "videos": videos} for pair, videos in drawn],
    }
    shown = {name: [truth.classes[at] for at in video.labels if at > 0] for name, video in truth.videos.items()}
    text: str = environment.get_template("compare.html.j2").render(
        found=found,
        pairs=pairs,
        standings=standings,
        order={name: index for index, name in enumerate(standings)},
        sources=dict(zip(standings, short_places(sources), strict=True)),
        metrics=[name for name in METRICS if any(name in each.metrics for each in found.standings)],
        truth=truth,
        abnormal=sum(video.abnormal for video in truth.videos.values()),
        base_rate=_base_rate(truth),
        classes=shown,
        cautions=summarised([*cautions, *coverage(found.standings, truth)], list(standings)),
        reach=_reach((v.difference.low, v.difference.high) for v in found.verdicts),
        class_reach=_reach((c.difference.low, c.difference.high) for c in found.classes),
        data=script_json(data),
        **{name.replace(".", "_"): _asset(assets / name) for name in ("report.css", "compare.css", "compare.js")},
        **{name.replace(".", "_"): _asset(assets / "vendor" / name) for name in ("uPlot.min.css", "uPlot.iife.min.js")},
    )
    return text


def headline(verdict: Verdict, a: Standing, b: Standing) -> str:
    """Return one metric of one pair in a sentence, the leader first."""
    d, name = verdict.difference, label(verdict.metric)
    first, second, low, high = (a, b, d.low, d.high) if d.value >= 0 else (b, a, -d.high, -d.low)
    numbers = f"{percent(first.mean(verdict.metric))} against {percent(second.mean(verdict.metric))} percent"
    spread = (
        f"95% interval of the difference {points(low)} to {points(high)} points, p {chance(verdict.p_value, sign=True)}"
    )
    single = [standing.name for standing in (first, second) if standing.seeds < 2]
    only = f" These weights only: one seed of {' and of '.join(single)}." if single else ""
    if verdict.sure:
        return f"{first.name} is ahead of {second.name} in {name}: {numbers}, {spread}.{only}"
    return f"No evidence of a difference between {first.name} and {second.name} in {name}: {numbers}, {spread}.{only}"


def deciding(pair: PairVideos | dict[str, Any], verdict: Verdict, videos: int) -> str:
    """Return how many videos decide the gap in frame AUC, in a sentence."""
    few = pair.deciding if isinstance(pair, PairVideos) else pair["deciding"]
    if not verdict.difference.value:
        return "Neither leads in frame AUC."
    leader = verdict.a if verdict.difference.value > 0 else verdict.b
    if few is None:
        return f"{leader} leads in frame AUC whichever videos are left out."
    named = ", ".join(few[:NAMED]) + (f" and {len(few) - NAMED} more" if len(few) > NAMED else "")
    return f"Without {len(few)} of {videos} videos the lead of {leader} in frame AUC is gone: {named}."


def correction(found: ComparisonResult) -> str:
    """Return what the p-values are corrected for."""
    if found.pairs == 1:
        return "one pair, so not corrected; metrics are not corrected for each other"
    return f"corrected for {found.pairs} pairs within each metric (Holm), not across metrics"


def tested(found: ComparisonResult) -> str:
    """Return what the p-values come from."""
    single = [verdict for verdict in found.verdicts if verdict.difference.seeds is None]
    exchanged = f"{found.permutations:,} exchanges of the two by video"
    both = "the difference over its standard error by seeds and test videos"
    if not single:
        return both
    return exchanged if len(single) == len(found.verdicts) else f"{both}; {exchanged} where both have one seed"


def coverage(standings: Sequence[Standing], truth: GroundTruth) -> list[str]:
    """Return a caution where sides were not scored on all test frames."""
    if all(standing.frames == truth.frames for standing in standings):
        return []
    counts = ", ".join(f"{standing.name} {standing.frames:,}" for standing in standings)
    return [f"Scored {truth.unit} of the {truth.frames:,} in the ground truth: {counts}."]


def points(value: float) -> str:
    """Return a difference of fractions in percentage points, with its sign."""
    return f"{100 * value:+.2f}"


def chance(p_value: float, sign: bool = False) -> str:
    """Return a p-value to three decimals, on request after its sign."""
    if p_value < 0.0005:
        return "< 0.001" if sign else "<0.001"
    return f"{'= ' if sign else ''}{p_value:.3f}"


def share(value: float) -> str:
    """Return a probability in percent that was counted on resamples: never 0 or 100."""
    if value < 0.005:
        return "<1%"
    return f"{100 * value:.0f}%" if value < 0.995 else ">99%"


def _asset(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _base_rate(truth: GroundTruth) -> float:
    """Share of positive frames: the precision of chance."""
    return sum(int(video.mask().sum()) for video in truth.videos.values()) / max(truth.frames, 1)


def _reach(intervals: Iterable[tuple[float, float]]) -> float:
    """Half the width of an axis around zero that holds all intervals: 1, 2 or 5 times a power of ten."""
    farthest = max((max(abs(low), abs(high)) for low, high in intervals), default=0.0) or 0.01
    power = 10.0 ** math.floor(math.log10(farthest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= farthest)


def _minus(value: float) -> str:
    return points(value).replace("-", "\u2212")


def _forest(value: float, low: float, high: float, reach: float) -> dict[str, Any]:
    """Start, length and mark of an interval around zero, in percent of the axis; and which side of zero it is on."""
    left, right, mark = (round(50 + 50 * end / reach, 2) for end in (low, high, value))
    return {"left": left, "width": round(max(right - left, 0.6), 2), "mark": mark, "apart": low > 0 or high < 0}


def _path(values: Sequence[float], size: int) -> str:
    """Curve through `values` at `PLACES` as the path of an SVG of `size` units, y upwards."""
    steps = (f"{size * float(x):.1f} {size * (1 - float(y)):.1f}" for x, y in zip(PLACES, values, strict=True))
    return "M" + "L".join(steps)
