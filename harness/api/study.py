"""Standard robustness studies: what `harness study` computes, from its options to curves and page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.api.execution import Execution, Shown, execute, threads_of_a_run
from harness.data.bank import Bank
from harness.data.cards import find_card, open_bank
from harness.errors import Damaged, UserError
from harness.paths import cache_dir
from harness.records.disturbance import KINDS, Disturbance, disturbance_of
from harness.records.request import Matrix
from harness.records.result import RunResult
from harness.report.leaderboard.build import build_leaderboard
from harness.report.study.command import command
from harness.report.study.curves import Study, study_of
from harness.report.study.page import address, write_page
from harness.report.study.recorded import Recorded
from harness.runs.inputs import check_inputs
from harness.runs.matrix import Plan, plan
from harness.tracking.tracker import Tracker, TrackingError
from harness.training.disturbances import fitting, most_crops


@dataclass(frozen=True)
class Studied:
    """A study with a result per run and its page, None where nothing could be read back.

    `notes` say what to know, `problems` have one line for whatever did not end well.
    """

    results: tuple[RunResult, ...]
    study: Study | None
    page: Path | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def study(name: str, levels: tuple[float, ...] | None, matrix: Matrix, execution: Execution, shown: Shown) -> Studied:
    """Run the methods of a matrix with one data set at every level, and draw what became of them.

    Args:
        name: one of `harness.records.disturbance.KINDS`.
        levels: None for the standard ones. The undisturbed run always is among them.

    Raises:
        UserError: there is no such study, level, method or data set, or the features have nothing that is disturbed.
        Unwritable: the output directory refused a write; what is finished stays.
    """
    if name not in KINDS:
        raise UserError(f"harness study {name}: expected {', '.join(KINDS)}")
    if len(matrix.datasets) > 1 or len(matrix.features) > 1:
        raise UserError("a study is of one data set and one feature set; start one for each")
    (dataset,) = matrix.datasets
    bank = open_bank(find_card(dataset), matrix.features[0] if matrix.features else None)
    asked = [disturbance_of(f"{name} {level:g}") for level in levels or KINDS[name].levels]
    planned = plan(_disturbed(matrix, asked, bank), execution.out, threads_of_a_run(execution.jobs))
    check_inputs(planned.all)
    done = execute(planned, replace(execution, report=False), shown)
    found, problems, path = None, list(done.problems), None
    try:
        found = _read_back(name, planned, bank, execution)
    except (TrackingError, Damaged) as error:
        problems.append(str(error))
    if found is not None:
        path = execution.out / "study" / address(found.study)
        write_page(path, found.study, found.command)
    notes = (*planned.left_out, *planned.notes)
    return Studied(done.results, found.study if found else None, path, notes, tuple(problems))


def _disturbed(matrix: Matrix, asked: list[Disturbance], bank: Bank) -> Matrix:
    """Return the matrix with what a study asks of it; levels at which nothing is disturbed are the ordinary run."""
    texts = dict.fromkeys(filter(None, [fitting(each, bank) for each in asked]))
    return matrix.model_copy(update={"disturbances": tuple(texts)})


def _read_back(name: str, planned: Plan, bank: Bank, execution: Execution) -> Recorded | None:
    """The study of what MLflow has of the planned runs; None without any."""
    tracker = Tracker(execution.tracking_uri, execution.out)
    tracker.sync()
    wanted, cache = {order.run for order in planned.all}, cache_dir() / "statistics"
    runs = [run for run in tracker.runs([bank.card.name]) if run.result.id in wanted]
    if not runs:
        return None
    boards = build_leaderboard(runs, [], tracker.artifact, cache=cache).boards
    none = KINDS[name].none
    study = study_of(name, most_crops(bank) if none is None else none, boards, tracker.artifact, cache)
    levels = tuple(board for board in boards if board.asked.disturbance)
    return Recorded(study, command(study, [row for board in boards for row in board.rows]), levels)
