"""Training a submission again from its record, on the features that are imported here."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards.record import Row
from harness.boards.repository import Repository
from harness.boards.reruns import RERUN, Rerun, decided
from harness.boards.rows import scores_hash
from harness.console import say
from harness.errors import UserError
from harness.io.atomic import replacing
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.report.leaderboard.questions import questions
from harness.runs.devices import device as available
from harness.runs.executors import Executor, Tell
from harness.runs.inputs import check_inputs
from harness.runs.matrix import matrix_of, plan
from harness.runs.order import Order
from harness.runs.provenance import provenance
from harness.runs.runner import Open, compute_orders

_MACHINE = ("harness", "git_commit", "python", "torch", "numpy", "platform", "processor", "threads", "gpu")


def train_again(
    repository: Repository,
    name: str,
    seeds: Sequence[int] = (),
    by: str = "a maintainer",
    text_tower: str | None = None,
    device: str = "cpu",
    opener: Open | None = None,
) -> list[tuple[Path, Rerun]]:
    """Train the rows of a record again and write `reruns/ID-SEQ.json` for each; return these.

    `seeds` are some of the record's, none: all. `opener` opens what computes, by default a process for each run.

    Raises:
        UserError: there is no such record or seed, its rows were not trained by the harness, or method, features or
            text tower are not here as they were.
    """
    record = repository.record(name)
    # Base and novel classes are scored of the same trainings as all classes.
    rows = {number: row for number, row in enumerate(record.rows) if not row.board.asked.part}
    # All rows are planned before the first is trained.
    with tempfile.TemporaryDirectory() as scratch:
        orders = {
            number: _orders(row, seeds or row.seeds, Path(scratch), text_tower, available(device))
            for number, row in rows.items()
        }
        for each in orders.values():
            check_inputs(each)
        made = []
        for number, row in rows.items():
            results = _computed(orders[number], Path(scratch), opener or _processes)
            made.append(_compared(record.id, number, row, orders[number], results, by))
    return [(_write(repository, each), each) for each in made]


def _orders(row: Row, seeds: Sequence[int], out: Path, text_tower: str | None, device: str) -> list[Order]:
    """What trains, or tests again, a row with some of its seeds."""
    what = f"{row.method} on {row.board.dataset}"
    if row.origin != "trained":
        raise UserError(f"{what}: was not trained by the harness ({row.origin}), so it cannot be trained again")
    if stray := sorted(set(seeds) - set(row.seeds)):
        raise UserError(f"--seeds {stray[0]}: the record of {what} has the seeds {', '.join(map(str, row.seeds))}")
    asked = row.board.asked
    trained_on = asked.trained_on or row.board.dataset
    precision, *rest = row.arithmetic.split(", ")
    fields = {
        "methods": (row.method,),
        "datasets": (trained_on,),
        "features": (row.board.features,),
        "seeds": tuple(seeds),
        "selection": (row.selection,),
        "set": {row.method: row.config},
        "preset": row.preset,
        "device": device,
        "precision": precision,
        "compiled": "compiled" in rest,
        "text_tower": text_tower,
        "tests": (row.board.dataset,) if asked.trained_on else (),
        "causal": asked.reading == "causal",
        "open_vocabulary": bool(asked.base),
        "disturbances": (asked.disturbance,) if asked.disturbance else (),
    }
    planned = plan(matrix_of(f"record of {what}", fields), out, _threads(row), fresh=True)
    if planned.refused:
        raise UserError(f"{what}: {planned.refused[0].error}")
    found = [order for order in planned.all if asked in questions(order.spec) and order.spec.seed in seeds]
    if not found:
        raise UserError(f"{what}: nothing that can be run here answers what the record was asked ({asked.short})")
    _check(row, found[0], what)
    return found


def _check(row: Row, order: Order, what: str) -> None:
    """Raise UserError where something is not here as it was."""
    spec = order.spec
    if spec.text_tower != row.text_tower:
        towers = f"its text tower was {row.text_tower or 'none'}, here {spec.text_tower or 'none'}"
        raise UserError(f"{what}: {towers}; name it with --text-tower")
    for name, here, there in (
        ("card", spec.dataset_hash, row.board.dataset_hash),
        ("features", spec.feature_hash, row.board.feature_hash),
    ):
        if here != there:
            raise UserError(f"{what}: other {name} here: the hash is {here[:12]}, the record's {there[:12]}")


def _threads(row: Row) -> int:
    """As many as the record's runs had, if this machine has them: sums then are made in the same order."""
    import torch

    words = row.provenance.get("threads", ())
    known = int(words[0]) if len(words) == 1 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 4 else 0
    return known if 0 < known <= (os.cpu_count() or 1) else torch.get_num_threads()


def _computed(orders: Sequence[Order], out: Path, opener: Open) -> list[tuple[RunResult, str]]:
    """The results of the orders with the hash of their scores, "" for a failed one."""
    sources = list({order.source.run: order.source for order in orders if order.source is not None}.values())
    if sources:
        compute_orders(sources, opener, out, _Shown(), lambda result: None)
    results = compute_orders(orders, opener, out, _Shown(), lambda result: None)
    return [(result, _scores(result, order)) for result, order in zip(results, orders, strict=True)]


def _scores(result: RunResult, order: Order) -> str:
    return scores_hash(Predictions.load(order.directory / "predictions.npz")) if result.status != "failed" else ""


def _compared(
    name: str, number: int, row: Row, orders: Sequence[Order], results: Sequence[tuple[RunResult, str]], by: str
) -> Rerun:
    recorded = dict(zip(row.seeds, row.metrics.get(row.primary, ()), strict=False))
    bits = dict(zip(row.seeds, row.scores, strict=True))
    found = {each.seed: each.metrics[row.primary] for each, _ in results if row.primary in each.metrics}
    equal = sum(scores == bits[each.seed] for each, scores in results)
    outcome, words, far = decided(list(recorded.values()), list(found.values()), equal)
    code = orders[0].spec.code
    if code not in row.code:
        words += "; trained with other code than the record's"
    apart = statistics.fmean(found.values()) - statistics.fmean(recorded.values()) if found and recorded else None
    facts = provenance()
    return Rerun(
        format=1,
        id=name,
        row=number,
        outcome=outcome,
        words=words,
        metric=row.primary,
        recorded=recorded,
        found=found,
        difference=apart,
        reach=far,
        equal_bits=equal,
        recorded_code=row.code,
        code=code,
        machine={key: facts[key] for key in _MACHINE if facts.get(key)},
        by=by,
        errors=tuple(f"seed {each.seed}: {each.error}" for each, _ in results if each.status == "failed"),
    )


def _write(repository: Repository, made: Rerun) -> Path:
    there = (RERUN.fullmatch(path.name) for path in (repository.directory / "reruns").glob(f"{made.id}-*.json"))
    last = max((int(match["sequence"]) for match in there if match), default=0)
    path = repository.directory / "reruns" / f"{made.id}-{last + 1}.json"
    with replacing(path) as temporary:
        temporary.write_bytes(made.to_bytes())
    return path


def _processes(tell: Tell) -> Executor:
    from harness.runs.executors.local import LocalExecutor

    return LocalExecutor(tell, 1)


@dataclass(frozen=True)
class _Shown:
    """Says which runs are computed, on standard error."""

    def say(self, text: str) -> None:
        """A line that stays."""
        say(text)

    def started(self, order: Order) -> None:
        """A run started."""
        say(f"{order.run}: started")

    def moved(self, run: str, done: int, total: int) -> None:
        """Nothing."""

    def ended(self, result: RunResult) -> None:
        """A run ended."""
        say(f"{result.id}: {result.error or 'done'}")
