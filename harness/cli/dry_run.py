"""What `harness run --dry-run` shows: the runs of a plan, one by one or, where they are many, counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.printable import shortened
from harness.runs.estimate import Estimates
from harness.runs.order import Order
from harness.tracking.unsent_runs import run_directories

# Plans of more runs are counted by method, data set and preset; so many of them are shown one by one.
MANY, SHOWN = 100, 10


class Outlook:
    """Which orders below one directory are finished, and how long the others will take."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self._estimates = Estimates(orders[0].out) if orders else None
        self._finished = {path.name for path in run_directories(orders[0].out)} if orders else set()
        # An id takes a hash; most orders are known by the words before it to be new.
        self._begun = {name.rpartition("-")[0] for name in self._finished}
        self._seconds: dict[tuple[int, str, str, bool], float | None] = {}

    def finished(self, order: Order) -> bool:
        """Whether a run need not be computed."""
        return not order.fresh and order.spec.words in self._begun and order.run in self._finished

    def seconds(self, order: Order) -> float | None:
        """How long the run takes; None if no earlier one tells."""
        if self._estimates is None or not self._finished:
            return None
        # Orders of one config share the object, see `matrix.plan`.
        spec = order.spec
        key = (id(spec.config), spec.selection, spec.dataset, bool(spec.source))
        if key not in self._seconds:
            self._seconds[key] = self._estimates.seconds(order.spec)
        return self._seconds[key]


@dataclass
class _Count:
    """Runs of one kind; `unknown` are those to do of which no earlier run tells how long they take."""

    runs: int = 0
    todo: int = 0
    unknown: int = 0
    seconds: float = 0.0

    def add(self, done: bool, seconds: float | None) -> None:
        self.runs += 1
        self.todo += not done
        self.unknown += not done and seconds is None
        self.seconds += 0.0 if done else seconds or 0.0


@dataclass(frozen=True)
class Summary:
    """The runs of a plan by (method, data set, features, preset), and all together."""

    kinds: dict[tuple[str, str, str, str], _Count] = field(default_factory=dict)
    whole: _Count = field(default_factory=_Count)


def rows(orders: Sequence[Order]) -> list[dict[str, Any]]:
    """Return every run, whether it is finished, and the seconds it will take where earlier runs tell."""
    outlook = Outlook(orders)
    return [_row(order, outlook) for order in orders]


def summary(orders: Iterable[Order], outlook: Outlook) -> Summary:
    """Count the runs of a plan."""
    found = Summary()
    for order in orders:
        spec, done, seconds = order.spec, outlook.finished(order), outlook.seconds(order)
        kind = (spec.method, spec.dataset, spec.features, spec.preset)
        for count in (found.kinds.setdefault(kind, _Count()), found.whole):
            count.add(done, seconds)
    return found


def show(orders: Sequence[Order], jobs: int) -> None:
    """Print the runs of a plan and how long `jobs` of them at a time will take; many of them counted."""
    from rich.table import Table

    from harness.console import out
    from harness.report.figures import duration

    outlook = Outlook(orders)
    counted = summary(orders, outlook)
    many = len(orders) > MANY
    table = Table("run", "status", "time")
    for order in orders[: SHOWN if many else len(orders)]:
        row = _row(order, outlook)
        known = row["seconds"] is not None
        table.add_row(shortened(row["id"], 200), row["status"], duration(row["seconds"]) if known else "unknown")
    out.print(table)
    if many:
        out.print(f"and {len(orders) - SHOWN:,} more; --json lists all. By method, data set and preset:")
        kinds = Table("method", "data set", "features", "preset", "runs", "to do", "time")
        for words, count in counted.kinds.items():
            time = "unknown" if count.unknown else duration(count.seconds)
            kinds.add_row(*map(shortened, words), f"{count.runs:,}", f"{count.todo:,}", time)
        out.print(kinds)
    whole = counted.whole
    parts = [f"about {duration(whole.seconds / jobs)}"] if whole.todo > whole.unknown else []
    parts += [f"{whole.unknown:,} of unknown length"] if whole.unknown else []
    end = (": " if parts else "") + " and ".join(parts)
    out.print(f"{whole.todo:,} of {whole.runs:,} runs to do{end}")


def _row(order: Order, outlook: Outlook) -> dict[str, Any]:
    spec, done = order.spec, outlook.finished(order)
    return {
        **{"id": order.run, "method": spec.method, "dataset": spec.dataset, "features": spec.features},
        **{"seed": spec.seed, "selection": spec.selection, "ablation": spec.ablation},
        "status": "finished" if done else "to do",
        "seconds": 0.0 if done else outlook.seconds(order),
    }
