"""What looking at the test set bought: every row of a leaderboard at its last step and at its best look."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from harness.errors import Damaged, HarnessError, UserError
from harness.records.history import read_history
from harness.report.figures import label, signed
from harness.report.leaderboard.board import Board, Figure, Row
from harness.report.leaderboard.build import build_leaderboard
from harness.report.leaderboard.uncertainty import Artifact
from harness.tracking.tracker import TrackedRun, Tracker


@dataclass(frozen=True)
class Choice:
    """One training that looked at the test set: what it met at every look, and where its best one was.

    `history` holds the looks as {"epoch", "step", "value"}, `epoch` and `step` counted from 1, and is empty where the
    store has lost them; `epoch` is then None. Of `steps` steps in all, `step` was chosen.
    """

    run: str
    seed: int
    looks: int
    step: int
    steps: int
    epoch: int | None
    history: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class AuditRow:
    """One row of the leaderboard, in its primary metric; fractions, mean and sample deviation over seeds.

    `last`: after the last step. `best`: at the best look at the test set. `bought`: best minus last, seed by seed.
    `val`: of the same method, config and seeds, trained with a held-out part of the training videos and chosen there.
    None where it is not known; a row that never looked at the test set has neither `best` nor `bought`, and no
    `choices`. Of a `paper` row, `last` is that of the same seeds trained with the rule `last` or `oracle`.
    """

    name: str
    preset: str
    selection: str
    config_hash: str
    seeds: tuple[int, ...]
    last: Figure | None
    best: Figure | None
    bought: Figure | None
    val: Figure | None
    choices: tuple[Choice, ...]

    @property
    def looked(self) -> bool:
        """Whether the row chose its weights on the test set."""
        return bool(self.choices)


@dataclass(frozen=True)
class Audit:
    """The audit of one board. `order_last` and `order_best` name the rows that know both, best first.

    `overtakes` are the pairs (ahead at the best look, ahead at the last step) whose order the looks turned round.
    """

    title: str
    dataset: str
    primary: str
    rows: tuple[AuditRow, ...]
    order_last: tuple[str, ...]
    order_best: tuple[str, ...]
    overtakes: tuple[tuple[str, str], ...]
    reading: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        plain = dataclasses.asdict(self, dict_factory=_without_interval)
        rows = [{**shown, "looked": row.looked} for shown, row in zip(plain["rows"], self.rows, strict=True)]
        return {**plain, "rows": rows}


def audit(tracker: Tracker, dataset: str | None = None) -> list[Audit]:
    """Return the audit of every board in the store; nothing is evaluated, and no predictions are read.

    Raises:
        UserError: the store has no finished run (of `dataset`).
        TrackingError: the store cannot be reached.
    """
    runs = tracker.runs(None if dataset is None else [dataset])
    if not runs:
        of = "" if dataset is None else f" of {dataset}"
        raise UserError(f"{tracker.store}: no finished run{of} is recorded there; see `harness list runs`")

    def artifact(run: TrackedRun, name: str) -> Path:
        if name == "predictions.npz":
            raise UserError("an audit reads no predictions")
        return tracker.artifact(run, name)

    return [audit_board(board, artifact) for board in build_leaderboard(runs, [], artifact).boards]


def audit_board(board: Board, artifact: Artifact) -> Audit:
    """Return the audit of one board; `artifact` gives a local path of one of a run's files."""
    names = _names(board.rows)
    by_seed = {(_training(row), row.selection): _by_seed(row, board.primary) for row in board.rows}
    rows = tuple(
        _audit_row(row, name, board.primary, by_seed, artifact) for row, name in zip(board.rows, names, strict=True)
    )
    # A `paper` row is another training; the order is that of one training, stopped at two places.
    oracle = [row for row in rows if row.selection == "oracle"]
    both = [(row.name, row.last.mean, row.best.mean) for row in oracle if row.last and row.best]
    overtakes = tuple((a[0], b[0]) for a, b in permutations(both, 2) if a[1] < b[1] and a[2] > b[2])
    return Audit(
        title=board.title,
        dataset=board.dataset,
        primary=board.primary,
        rows=rows,
        order_last=tuple(name for name, *_ in sorted(both, key=lambda row: -row[1])),
        order_best=tuple(name for name, *_ in sorted(both, key=lambda row: -row[2])),
        overtakes=overtakes,
        reading=_reading(rows, board.primary, len(both), overtakes),
    )


_Training = tuple[str, str, str, str, float, str, str]
_BySeed = Mapping[tuple[_Training, str], Mapping[int, float]]


def _training(row: Row) -> _Training:
    """What rows that differ in the selection rule alone share."""
    return row.method, row.config_hash, row.preset, row.text_tower, row.scale, row.checkpoint, row.arithmetic


def _by_seed(row: Row, primary: str) -> dict[int, float]:
    """The metric by seed: as reported, but for `oracle` after the last step."""
    found = {}
    for run in row.members:
        value, chosen = run.result.metrics.get(primary), run.result.selected
        gap = 0.0 if row.selection != "oracle" or chosen is None or chosen.gap is None else chosen.gap
        if value is not None:
            found[run.result.seed] = value - gap
    return found


def _audit_row(row: Row, name: str, primary: str, by_seed: _BySeed, artifact: Artifact) -> AuditRow:
    def known(selection: str) -> list[float] | None:
        values = by_seed.get((_training(row), selection), {})
        return [values[seed] for seed in row.seeds] if set(row.seeds) <= set(values) else None

    choices = () if row.honest else tuple(_choice(run, artifact) for run in row.members if _chose(run))
    met = [run.result.metrics[primary] for run in row.members if primary in run.result.metrics]
    best = met if len(met) == len(choices) == len(row.seeds) else None
    last = known(row.selection) if row.selection in ("last", "oracle") else None
    if row.selection == "paper":
        last = known("last") or known("oracle")
    return AuditRow(
        name=name,
        preset=row.preset,
        selection=row.selection,
        config_hash=row.config_hash,
        seeds=row.seeds,
        last=_figure(last),
        best=_figure(best),
        bought=_figure([b - a for a, b in zip(last, best, strict=True)]) if last and best else None,
        val=_figure(known("val")),
        choices=choices,
    )


def _chose(run: TrackedRun) -> bool:
    """Whether there was anything to choose: methods without steps never look, whatever the rule."""
    chosen = run.result.selected
    return chosen is not None and chosen.looks > 0 and chosen.steps > 0


def _choice(run: TrackedRun, artifact: Artifact) -> Choice:
    chosen = run.result.selected
    assert chosen is not None
    try:
        history = read_history(artifact(run, "history.json")).model_dump()["looks"]
    except Damaged:
        raise
    except HarnessError:  # the store keeps the outcome; the way there is an extra
        history = ()
    epoch = next((int(look["epoch"]) for look in history if look["step"] == chosen.step), None)
    return Choice(run.result.id, run.result.seed, chosen.looks, chosen.step, chosen.steps, epoch, history)


def _without_interval(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in items if key not in ("low", "high")}


def _figure(values: Sequence[float] | None) -> Figure | None:
    if not values:
        return None
    return Figure(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def _names(rows: Sequence[Row]) -> list[str]:
    """The method, and of preset and config whatever tells it from other trainings of the same method."""
    plain = [f"{row.method} without {row.ablation}" if row.ablation else row.method for row in rows]
    names = []
    for row, name in zip(rows, plain, strict=True):
        others = {_training(other) for other, same in zip(rows, plain, strict=True) if same == name}
        names.append(f"{name} {row.config_hash}" if len(others) > 1 else name)
    return names


def _reading(rows: Sequence[AuditRow], primary: str, both: int, overtakes: Sequence[tuple[str, str]]) -> str:
    """The outcome in one sentence."""
    if not any(row.last or row.best or row.val for row in rows):
        return f"No row has a {label(primary)}, so there is nothing to compare."
    looked = [row for row in rows if row.looked]
    if not looked:
        return "No row looked at the test set, so nothing was bought; `--selection oracle` would show what it buys."
    gains = [row.bought.mean for row in looked if row.bought]
    if not gains:
        return "Rows looked at the test set, but what their last step gives was not run; add `--selection last`."
    looks = [choice.looks for row in looked for choice in row.choices]
    least, most = min(looks), max(looks)
    times = f"{least} looks" if least == most else f"{least} to {most} looks"
    spread = f" ({signed(min(gains))} to {signed(max(gains))})" if len(gains) > 1 else ""
    text = f"Choosing the weights on the test set, with {times} a run, bought {signed(statistics.fmean(gains))}{spread}"
    text += f" points of {label(primary)} over the last step"
    if both < 2:
        return f"{text}; with fewer than two such methods there is no order to change."
    if not overtakes:
        return f"{text}, and leaves the order of these {both} methods as it is."
    shown = ", ".join(f"{a} overtakes {b}" for a, b in overtakes[:3])
    rest = f" and {len(overtakes) - 3} more pairs turn round" if len(overtakes) > 3 else ""
    return f"{text}, and changes the order of these {both} methods: {shown}{rest}."
