"""What `harness list` shows: methods, dataset cards and recorded runs as plain rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.printable import shortened

if TYPE_CHECKING:
    from harness.parity.cases import CaseResult
    from harness.records.result import RunResult
    from harness.records.run_filter import RunFilter
    from harness.tracking.rounding_spread import Spread

Row = dict[str, Any]


def methods() -> list[Row]:
    """Cards of all registered methods that can be used."""
    from harness.registry import broken_methods, method_cards

    cards, broken = method_cards(), broken_methods(thoroughly=True)
    return [card.model_dump(mode="json") for name, card in cards.items() if name not in broken]


def broken_methods() -> list[str]:
    """One line for each installed method that cannot be used."""
    from harness.registry import broken_methods

    return list(broken_methods(thoroughly=True).values())


def protocols() -> list[Row]:
    """Protocols of extraction that ship with the harness."""
    from harness.video.protocols import find_protocol, protocol_names

    return [
        {"name": each.name, "how": each.words, "tower": each.tower, "hash": each.digest[:8], "title": each.title}
        for each in map(find_protocol, protocol_names())
    ]


def datasets() -> list[Row]:
    """Dataset cards, built-in and own, with their feature sets and whether each has been imported."""
    from harness.console import say
    from harness.data.cards import find_card, known_names
    from harness.errors import UserError

    rows = []
    for name in known_names():
        try:
            card = find_card(name)
        except UserError as error:  # one damaged card hides no other
            say(f"warning: {error}")
            continue
        for features, spec in card.features.items():
            status = _status(name, features) or ("generated on first use" if spec.generated else "not imported")
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


def _status(name: str, features: str) -> str:
    """Whether a feature set has been imported, and how much of it; "" if not."""
    from harness.data.bank import Bank, bank_path
    from harness.errors import UserError

    path = bank_path(name, features)
    if not (path / "bank.json").exists():
        return ""
    try:
        partial = Bank(path).partial
    except UserError:
        return "damaged"
    return f"imported: {partial}" if partial else "imported"


def runs(tracking_uri: str | None, out: Path, only: RunFilter) -> list[Row]:
    """Finished runs that MLflow has, and those in `out` that it will be sent, as far as `only` means them."""
    from harness.console import say
    from harness.tracking.recorded_runs import Recorded

    found, unreadable = Recorded(tracking_uri, out).read()
    for line in unreadable:
        say(f"warning: {line}")
    return [row_of(tracked.result) for tracked in only.chosen(found, lambda tracked: tracked.result)]


def row_of(result: RunResult) -> Row:
    """What the table of runs says of one."""
    return {
        "id": result.id,
        "method": result.method,
        "dataset": result.dataset,
        "features": result.features,
        "seed": result.seed,
        "selection": result.selection,
        "status": result.status,
        "partial": result.spec.partial if result.spec else "",
        "frame_auc": result.metrics.get("frame_auc"),
        "frame_ap": result.metrics.get("frame_ap"),
    }


_COLUMNS = {
    "methods": ("name", "aliases", "family", "track", "title", "venue", "year", "arxiv", "needs_text", "feature_dims"),
    "datasets": ("name", "features", "dim", "classes", "train", "test", "status", "title"),
    "protocols": ("name", "how", "tower", "hash"),
    "runs": ("id", "dataset", "selection", "seed", "status", "frame_auc", "frame_ap"),
}


def show(what: str, rows: list[Row]) -> None:
    """Print rows as a table."""
    from rich.table import Table

    from harness.console import out

    if not rows:
        out.print(f"no {what}")
        return
    columns = _COLUMNS[what]
    # Said where there is something to say.
    columns += ("partial",) if any(row.get("partial") for row in rows) else ()
    table = Table()
    for column in columns:  # a name is copied into a command
        table.add_column(column, overflow="fold" if column in ("name", "id") else "ellipsis", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(shortened(_text(row[column])) for column in columns))
    out.print(table)


def show_bank(description: Row) -> None:
    """Print what `harness.data.verify.describe` returned."""
    from rich.table import Table

    from harness.console import out, tell

    splits = description["splits"]
    table = Table("", *splits, title=f"{description['dataset']} · {description['features']}", title_justify="left")
    for fact in ("videos", "items", "snippets"):
        table.add_row(fact, *(f"{split[fact]:,}" for split in splits.values()))
    table.add_row("empty, left out", *(str(len(split["excluded"])) for split in splits.values()))
    if description["partial"]:
        table.add_row("missing", *(f"{split['missing']:,}" for split in splits.values()))
    table.add_row("mean norm", *(f"{split['mean_norm']:.3f}" for split in splits.values()), end_section=True)
    for name in next(iter(splits.values()))["classes"]:
        table.add_row(shortened(name), *(str(split["classes"][name]) for split in splits.values()))
    out.print(table)
    frames, positive = description["test_frames"], description["test_positive_frames"]
    facts = f"{frames:,} test frames, {positive:,} positive; {description['dim']}-d, scale {description['scale']:g}"
    out.print(f"{facts}; hash {description['hash'][:12]}")
    if description["partial"]:
        out.print(f"incomplete: {description['partial']}; every result says so")
    crops = {name: split["crops"] for name, split in splits.items()}
    if any(listed != [0] for listed in crops.values()):
        tell("crops: " + "; ".join(f"{name} {', '.join(map(str, listed))}" for name, listed in crops.items()))
    variants = [f"{name}{'' if built else ' (not built)'}" for name, built in description["variants"].items()]
    tell(f"frames of a test video: {description['frame_rule']}; other protocols: {', '.join(variants) or 'none'}")
    if description["extraction"]:
        tell(f"extracted: {description['extraction']}")
    if description["glances"]:
        tell(f"glances: {description['glances']:,} clicks in the training videos")


def show_parity(results: Sequence[CaseResult]) -> None:
    """Print parity cases as a table: the worst error of each quantity, relative as the case defines it."""
    from rich.table import Table

    from harness.console import out
    from harness.parity.cases import QUANTITIES

    table = Table("case", "method", "source", *QUANTITIES, "verdict")
    for result in results:
        errors = [result.worst_of(quantity) for quantity in QUANTITIES]
        worst = result.worst
        verdict = "ok" if result.ok else f"FAILED {worst.output} {worst.reason or f'{worst.error:.1e}'}"
        table.add_row(
            shortened(result.case),
            shortened(result.method),
            result.source.partition(" ")[0][:32],
            *("-" if error is None else f"{error.error:.1e}" for error in errors),
            shortened(verdict, 200),
        )
    out.print(table)


def show_spreads(spreads: Sequence[Spread]) -> None:
    """Print how far rounding alone moves the frame AUC of each run, in points."""
    from rich.table import Table

    from harness.console import out
    from harness.report.figures import percent
    from harness.tracking.rounding_spread import LIMIT

    table = Table("method", "dataset", "preset", "seed", "runs", "least", "most", "spread", "verdict")
    for spread in spreads:
        verdict = "stable" if spread.stable else f"over {100 * LIMIT:g}" if not spread.failed else "failed"
        facts = (spread.method, spread.dataset, spread.preset, str(spread.seed), str(len(spread.values)))
        numbers = (percent(spread.low), percent(spread.high), percent(spread.width))
        table.add_row(*map(shortened, facts), *numbers, verdict)
    out.print(table)
    out.print("frame AUC in percent over a run and its variants, which differ in rounding alone", style="dim")


def show_metrics(metrics: Mapping[str, float], class_auc: Mapping[str, float], undefined: Collection[str] = ()) -> None:
    """Print an evaluation as a table of percentages, its metrics first and then the frame AUC of each class.

    `undefined` metrics are shown as "-", of mAP the mean alone. A single class says what the frame AUC of the whole
    test set says, and is left out.
    """
    from rich.table import Table

    from harness.console import out
    from harness.report.figures import label, ordered, percent

    table = Table("metric", "%")
    for name in ordered({*metrics, *(name for name in undefined if "@" not in name)}):
        table.add_row(label(name), percent(metrics.get(name)))
    table.add_section()
    if set(class_auc.values()) != {metrics.get("frame_auc")} or len(class_auc) > 1:
        for name, value in class_auc.items():
            table.add_row(f"AUC {shortened(name)}", percent(value))
    out.print(table)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)
