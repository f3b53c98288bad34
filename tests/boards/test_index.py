"""Boards of records are those that `harness report` makes of the same runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.boards.index import boards
from harness.boards.record import Record, Resampled, Row
from harness.boards.rows import rows_of
from harness.boards.settings import Settings
from harness.data.cards import find_card
from harness.metrics.protocol import evaluate
from harness.metrics.version import PROTOCOL_VERSION
from harness.records.result import RunResult
from harness.records.run_directory import open_run, write_run
from harness.report.leaderboard.build import build_leaderboard
from harness.submissions.bundle import Entry, truth_hash
from harness.submissions.judge import Judgement
from harness.tracking.tracker import TrackedRun
from tests.fakes import fake_run

RULES = Settings(format=1, name="x", protocol=PROTOCOL_VERSION)
METHODS = {"zeta": (), "alpha": (0, 1, 2), "beta": (0, 1, 2), "gamma": (0, 1), "delta": (5,), "epsilon": (0, 1, 2, 3)}


def _poor(out: Path, seed: int) -> RunResult:
    """A run of a method that knows little."""
    result = fake_run(out, method="zeta", seed=seed)
    run = open_run(out / result.id)
    scores = np.random.default_rng(seed).random(len(run.predictions().scores)).astype(np.float32)
    predictions = replace(run.predictions(), scores=scores)
    predictions.save(out / result.id / "predictions.npz")
    result = result.model_copy(update={"metrics": evaluate(predictions, run.truth()).metrics})
    write_run(out / result.id, result)
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("runs")
    made = [fake_run(out, method=name, seed=seed) for name, seeds in METHODS.items() for seed in seeds]
    made += [_poor(out, seed) for seed in (0, 1, 2)]
    made += [fake_run(out, method="alpha", seed=seed, selection="oracle") for seed in (0, 1, 2)]
    return [out / result.id for result in made]


def _of_version(row: Row, version: int) -> Row:
    return row.model_copy(update={"board": row.board.model_copy(update={"protocol_version": version})})


def recorded(runs: list[Path], version: int = PROTOCOL_VERSION) -> tuple[list[Record], dict[str, dict[int, Resampled]]]:
    """A record for each method, as if each were a team's."""
    card = find_card("demo").model_copy(update={"name": "toy"})
    records, arrays = [], {}
    for number, method in enumerate(METHODS):
        judged = []
        for directory in (path for path in runs if path.name.startswith(f"{method}-")):
            run = open_run(directory)
            truth = run.truth()
            entry = Entry(run.result.id, run.result, run.predictions(), run.history(), truth_hash(truth), ())
            judged.append(Judgement(entry, "accepted", (), truth, run.result.metrics, False))
        rows, found = rows_of(judged, {"toy": card}, RULES, None)
        sha256 = f"{number:064x}"[::-1]
        rows = [
            row.model_copy(update={"board": row.board.model_copy(update={"protocol_version": version})}) for row in rows
        ]
        records.append(
            Record(
                **{"format": 1, "id": sha256[:16], "sha256": sha256, "size": 1, "harness": "", "statement": None},
                **{"verified": True, "unverified": (), "rows": tuple(rows)},
            )
        )
        arrays[records[-1].id] = found
    return records, arrays


def test_ranks_and_figures_are_those_of_the_report(runs: list[Path]) -> None:
    tracked = [TrackedRun(path.name, str(path), 0, open_run(path).result) for path in runs]
    (expected,) = build_leaderboard(tracked, [], lambda run, name: Path(run.artifacts) / name).boards
    records, arrays = recorded(runs)
    (found,) = boards(records, lambda record: arrays[record.id])
    assert found.title == expected.title
    ours = [(each.row.method, each.row.selection, each.rank) for each in found.rows]
    assert ours == [(row.method, row.selection, row.rank) for row in expected.rows]
    assert {rank for *_, rank in ours} > {1, None}
    for mine, theirs in zip(found.rows, expected.rows, strict=True):
        assert mine.row.figures.keys() == theirs.metrics.keys()
        for name, figure in theirs.metrics.items():
            for part in ("mean", "sd", "low", "high", "videos_low", "videos_high"):
                a, b = getattr(mine.row.figures[name], part), getattr(figure, part)
                assert a == (None if b is None else pytest.approx(b, abs=1e-12)), (mine.row.method, name, part)
        assert mine.row.oracle_gap == theirs.oracle_gap


def test_why_a_row_has_no_rank(runs: list[Path]) -> None:
    records, arrays = recorded(runs)
    (found,) = boards(records, lambda record: arrays[record.id])
    words = {(each.row.method, each.row.selection): (each.place, each.unranked) for each in found.rows}
    assert words["delta", "last"] == ("-", "one seed, no claim")
    assert words["alpha", "oracle"] == ("-", "chose its weights on the test set")
    sharing = [each for each in found.rows if each.rank == 1]
    assert {each.place for each in sharing} == {"=1" if len(sharing) > 1 else "1"}


def test_another_protocol_is_another_board_and_still_shown(runs: list[Path]) -> None:
    now, arrays = recorded(runs)
    earlier, _ = recorded(runs, PROTOCOL_VERSION - 1)
    moved = [each.model_copy(update={"id": each.id[::-1]}) for each in earlier]
    known = {**arrays, **{each.id[::-1]: arrays[each.id] for each in earlier}}
    first, second = boards([*moved, *now], lambda record: known[record.id])
    assert (first.earlier, second.earlier) == (False, True)
    assert [each.rank for each in first.rows] == [each.rank for each in second.rows]
    assert first.slug != second.slug


def test_claims_stand_below_and_names_make_no_addresses(runs: list[Path]) -> None:
    records, arrays = recorded(runs)

    def claimed(row: Row) -> Row:
        figures = {**row.figures, "frame_auc": row.figures["frame_auc"].__class__(1.0)}
        board = row.board.model_copy(update={"dataset": "../../x", "features": "<b>"})
        return row.model_copy(update={"verified": False, "figures": figures, "board": board})

    odd = records[0].model_copy(update={"rows": tuple(map(claimed, records[0].rows))})
    same = records[1].model_copy(
        update={"rows": tuple(row.model_copy(update={"verified": False}) for row in records[1].rows)}
    )
    found = boards([odd, same, *records[2:]], lambda record: arrays[record.id])
    by_data = {board.key.dataset: board for board in found}
    assert by_data["../../x"].slug.startswith("x-b-open-")
    assert {each.unranked for each in by_data["../../x"].rows} == {"claimed, not verified"}
    assert by_data["toy"].rows[-1].record.id == same.id
    assert by_data["toy"].rows[-1].unranked == "claimed, not verified"
