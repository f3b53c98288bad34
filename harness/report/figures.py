"""How numbers and names are written: in the terminal, on the page and in tables, always the same."""

from __future__ import annotations

from collections.abc import Collection

_LABELS = {
    "frame_auc": "Frame AUC",
    "frame_ap": "Frame AP",
    "abnormal_auc": "Abnormal AUC",
    "video_auc": "Video AUC",
    "map_avg": "mAP avg",
    "abnormal_ap": "Abnormal AP",
    "macro_auc": "Macro AUC",
    "false_alarm_rate": "False alarms",
    "frame_pr_auc_trapezoid": "PR-AUC (trapezoid)",
    "map_strict_avg": "strict mAP avg",
    "base_frame_auc": "Base AUC",
    "novel_frame_auc": "Novel AUC",
    "harmonic_frame_auc": "Harmonic AUC",
    "base_frame_ap": "Base AP",
    "novel_frame_ap": "Novel AP",
    "harmonic_frame_ap": "Harmonic AP",
    "causal_loss": "Loss to offline",
    "early_before_half": "Found by half",
    "early_found": "Events found",
    "early_delay_seconds": "Delay (s)",
}
_MAIN = ("frame_auc", "frame_ap", "abnormal_auc", "video_auc", "map_avg")
# What a harder question is asked for; it takes the place of localisation and of whole videos.
_ASKED = (
    *("base_frame_auc", "novel_frame_auc", "harmonic_frame_auc", "causal_loss", "early_before_half"),
    "early_delay_seconds",
)


def label(metric: str) -> str:
    """Return a metric's name for people: `map@0.1` is "mAP@0.1"; unknown names are returned as they are."""
    if metric in _LABELS:
        return _LABELS[metric]
    return metric.replace("map_strict@", "strict mAP@").replace("map@", "mAP@")


def ordered(metrics: Collection[str]) -> tuple[str, ...]:
    """Return the metrics in the order of tables: named ones first, then the others by name."""
    return tuple(name for name in _LABELS if name in metrics) + tuple(sorted(set(metrics) - set(_LABELS)))


def main_metrics(metrics: Collection[str]) -> tuple[str, ...]:
    """Return which of a board's metrics belong to the narrow form of its table, in the order of tables."""
    asked = [name for name in _ASKED if name in metrics]
    main = [name for name in _MAIN if not asked or name not in ("abnormal_auc", "video_auc")]
    return tuple(name for name in (*main, *asked) if name in metrics)


def first_metrics(metrics: Collection[str], primary: str) -> tuple[str, ...]:
    """Return which of the main metrics stand before speed and size on every screen: the order's own, AUC, AP and mAP.

    What a harder question is asked for takes the place of mAP.
    """
    main = main_metrics(metrics)
    asked = [name for name in main if name in _ASKED]
    first = ("frame_auc", "frame_ap", *(asked[:2] or ("map_avg",)))
    return tuple(name for name in metrics if name == primary or (name in main and name in first))


def percent(value: float | None, decimals: int = 2) -> str:
    """Return a fraction as a percentage without its sign; "-" for None."""
    return "-" if value is None else f"{100 * value:.{decimals}f}"


def amount(metric: str, figure: float | None, decimals: int = 2) -> str:
    """Return the value of a metric as people read it: seconds as they are, fractions as percentages."""
    if figure is not None and metric.endswith("_seconds"):
        return f"{figure:.{decimals}f}"
    return percent(figure, decimals)


def place(rank: int | None, shared: bool) -> str:
    """Return a rank as people read it: "=1" where several rows share it; "-" for None."""
    return "-" if rank is None else f"{'=' if shared else ''}{rank}"


def signed(difference: float | None) -> str:
    """Return a difference of fractions in points, with its sign; "-" for None."""
    return "-" if difference is None else f"{100 * difference:+.2f}"


def chosen(selection: str, origin: str) -> str:
    """Return how a row's weights came about: the selection rule, or that they, or scores of others, were given."""
    if selection != "given":
        return selection
    if origin == "imported":
        return "imported scores"
    return "given weights, inference only" if origin == "inference-only" else "given weights"


def count(value: float | None) -> str:
    """Return a large number in short: 1.23M, 45.6k; "-" for None."""
    if value is None:
        return "-"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def short(value: float | None, decimals: int) -> str:
    """Return a number with so many decimals; "-" for None."""
    return "-" if value is None else f"{value:.{decimals}f}"


def milliseconds(value: float | None) -> str:
    """Return milliseconds with three digits, as the clock is good for; "-" for None."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Return seconds as 4.2 s, 3 min 20 s or 2 h 5 min; "-" for None."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
