"""What `harness list` shows: methods, dataset cards and recorded runs as plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.order import Order
    from harness.parity import CaseResult
    from harness.spread import Spread

Row = dict[str, Any]


def methods() -> list[Row]:
    """Cards of all registered methods."""
    from harness.registry import method_cards

    return [card.model_dump(mode="json") for card in method_cards().values()]


def datasets() -> list[Row]:
    """Built-in dataset cards with their feature sets and whether each has been imported."""
    from harness.data.bank import bank_path
    from harness.data.cards import card_names, find_card

    rows = []
    for name in card_names():
        card = find_card(name)
        for features, spec in card.features.items():
            imported = (bank_path(name, features) / "bank.json").exists()
            status = "imported" if imported else ("generated on first use" if spec.generated else "not imported")
            rows.append(
                {
                    "name": name,
                    "features": features,
                    "dim": spec.dim,
                    "classes": len(card.classes),
                    "train": card.splits["train"].videos,
                    "test": card.splits["test"].videos,
                    "status": status,
                    "title": card.title,
                }
            )
    return rows


def runs(tracking_uri: str | None, out: Path) -> list[Row]:
    """Finished runs recorded in MLflow."""
    from harness.track import Tracker

    rows = []
    for tracked in Tracker(tracking_uri, out).runs():
        result = tracked.result
        rows.append(
            {
                "id": result.id,
                "method": result.method,
                "dataset": result.dataset,
                "features": result.features,
                "seed": result.seed,
                "selection": result.selection,
                "status": result.status,
                "frame_auc": result.metrics.get("frame_auc"),
                "frame_ap": result.metrics.get("frame_ap"),
            }
        )
    return rows


def orders(planned: Sequence[Order]) -> list[Row]:
    """Planned runs, whether each is finished, and the seconds it will take where earlier runs tell."""
    from harness.estimate import Estimates

    estimates = Estimates(planned[0].out) if planned else None
    rows = []
    for order in planned:
        spec = order.spec
        done = (order.directory / "run.json").exists() and not order.fresh
        rows.append(
            {
                **{"id": spec.run_id, "method": spec.method, "dataset": spec.dataset, "features": spec.features},
                **{"seed": spec.seed, "selection": spec.selection, "ablation": spec.ablation},
                "status": "finished" if done else "to do",
                "seconds": 0.0 if done or estimates is None else estimates.seconds(spec),
            }
        )
    return rows


def show_orders(rows: Sequence[Row], jobs: int) -> None:
    """Print what `orders` returned, and how long `jobs` runs at a time will take."""
    from rich.table import Table

    from harness.console import out
    from harness.report.figures import duration

    table = Table("run", "status", "time")
    for row in rows:
        table.add_row(row["id"], row["status"], "unknown" if row["seconds"] is None else duration(row["seconds"]))
    out.print(table)
    known = [row["seconds"] for row in rows if row["seconds"] is not None]
    unknown = len(rows) - len(known)
    todo = sum(row["status"] == "to do" for row in rows)
    parts = [f"about {duration(sum(known) / jobs)}"] if todo > unknown else []
    parts += [f"{unknown} of unknown length"] if unknown else []
    out.print(f"{todo} of {len(rows)} runs to do" + (": " if parts else "") + " and ".join(parts), highlight=False)


_COLUMNS = {
    "methods": ("name", "aliases", "family", "title", "venue", "year", "arxiv", "needs_text", "feature_dims"),
    "datasets": ("name", "features", "dim", "classes", "train", "test", "status", "title"),
    "runs": ("id", "dataset", "selection", "seed", "status", "frame_auc", "frame_ap"),
}


def show(what: str, rows: list[Row]) -> None:
    """Print rows as a table."""
    from rich.table import Table

    from harness.console import out

    if not rows:
        out.print(f"no {what}")
        return
    table = Table(*_COLUMNS[what])
    for row in rows:
        table.add_row(*(_text(row[column]) for column in _COLUMNS[what]))
    out.print(table)


def show_bank(description: Row) -> None:
    """Print what `harness.data.verify.describe` returned."""
    from rich.table import Table

    from harness.console import out

    splits = description["splits"]
    table = Table("", *splits, title=f"{description['dataset']} · {description['features']}", title_justify="left")
    for fact in ("videos", "items", "snippets"):
        table.add_row(fact, *(f"{split[fact]:,}" for split in splits.values()))
    table.add_row("empty, left out", *(str(len(split["excluded"])) for split in splits.values()))
    table.add_row("mean norm", *(f"{split['mean_norm']:.3f}" for split in splits.values()), end_section=True)
    for name in next(iter(splits.values()))["classes"]:
        table.add_row(name, *(str(split["classes"][name]) for split in splits.values()))
    out.print(table)
    frames, positive = description["test_frames"], description["test_positive_frames"]
    facts = f"{frames:,} test frames, {positive:,} positive; {description['dim']}-d, scale {description['scale']:g}"
    out.print(f"{facts}; hash {description['hash'][:12]}", highlight=False)


def show_parity(results: Sequence[CaseResult]) -> None:
    """Print parity cases as a table: worst forward, loss and gradient error, relative as the case defines it."""
    from rich.table import Table

    from harness.console import out

    table = Table("case", "method", "source", "forward", "loss", "gradient", "verdict")
    for result in results:
        errors = [result.worst_of(kind) for kind in ("forward", "loss", "gradient")]
        worst = result.worst
        verdict = "ok" if result.ok else f"FAILED {worst.output} {worst.reason or f'{worst.error:.1e}'}"
        table.add_row(
            result.case,
            result.method,
            result.source.partition(" ")[0][:32],
            *("-" if error is None else f"{error.error:.1e}" for error in errors),
            verdict,
        )
    out.print(table)


def show_spreads(spreads: Sequence[Spread]) -> None:
    """Print how far rounding alone moves the frame AUC of each run, in points."""
    from rich.markup import escape
    from rich.table import Table

    from harness.console import out
    from harness.report.figures import percent
    from harness.spread import LIMIT

    table = Table("method", "dataset", "preset", "seed", "runs", "least", "most", "spread", "verdict")
    for spread in spreads:
        verdict = "stable" if spread.stable else f"over {100 * LIMIT:g}" if not spread.failed else "failed"
        facts = (spread.method, spread.dataset, spread.preset, str(spread.seed), str(len(spread.values)))
        numbers = (percent(spread.low), percent(spread.high), percent(spread.width))
        table.add_row(*map(escape, facts), *numbers, verdict)
    out.print(table)
    out.print("frame AUC in percent over a run and its variants, which differ in rounding alone", style="dim")


def show_metrics(metrics: Mapping[str, float], class_auc: Mapping[str, float]) -> None:
    """Print an evaluation as a table of percentages, its metrics first and then the frame AUC of each class."""
    from rich.markup import escape
    from rich.table import Table

    from harness.console import out
    from harness.report.figures import label, ordered, percent

    table = Table("metric", "%")
    for name in ordered(metrics):
        table.add_row(label(name), percent(metrics[name]))
    table.add_section()
    for name, value in class_auc.items():
        table.add_row(f"AUC {escape(name)}", percent(value))
    out.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
