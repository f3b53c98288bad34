"""What a board claims: of these weights or of the method, with both sources of chance wherever a mean stands."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest

from harness.console import Screen
from harness.metrics.frame import snippet_table
from harness.metrics.variance import estimates
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.figures import percent
from harness.report.leaderboard.board import Board, Leaderboard, OpenPair, board_dict
from harness.report.leaderboard.build import build_leaderboard
from harness.report.leaderboard.open_pairs import settled
from harness.report.tables import comma_separated, latex, markdown
from harness.report.terminal import print_leaderboard
from harness.report.write import write_report
from tests.fakes import fake_run
from tests.report.leaderboard.test_build import tracked


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Alpha and beta with three seeds each, gamma with one."""
    results = [fake_run(tmp_path, method=method, seed=seed) for method in ("alpha", "beta") for seed in range(3)]
    results.append(fake_run(tmp_path, method="gamma"))
    (found,) = build_leaderboard(tracked(results), [], lambda run, name: tmp_path / run.result.id / name).boards
    return found


def test_one_seed_stands_in_its_order_without_a_rank(board: Board) -> None:
    by_method = {row.method: row for row in board.rows}
    assert [row.metrics["frame_auc"].mean for row in board.rows] == sorted(
        (row.metrics["frame_auc"].mean for row in board.rows), reverse=True
    )
    assert (by_method["gamma"].rank, by_method["gamma"].claim) == (None, "weights")
    assert min(row.rank for row in board.rows if row.rank is not None) == 1
    assert {row.claim for row in board.rows if row.rank} == {"method"}
    figure = by_method["gamma"].metrics["frame_auc"]
    assert (figure.sd, figure.low, figure.high) == (None, None, None)
    assert figure.videos_low is not None
    assert any("One seed, no claim: gamma" in caution for caution in board.cautions)


def test_intervals_are_those_of_the_metrics_module(board: Board, tmp_path: Path) -> None:
    row = next(row for row in board.rows if row.method == "alpha")
    place = tmp_path / row.members[0].result.id
    truth = GroundTruth.load(place / "truth.json")
    tables = [
        snippet_table(Predictions.load(tmp_path / run.result.id / "predictions.npz"), truth) for run in row.members
    ]
    normal = np.array([not video.abnormal for video in truth.videos.values()])
    for name, exact in estimates(tables, normal).items():
        figure = row.metrics[name]
        # Boards read resamples off histograms, which moves an end by a fraction of its width.
        assert (figure.low, figure.high) == pytest.approx(exact.interval_in_odds(), abs=0.01)
        assert (figure.videos_low, figure.videos_high) == pytest.approx(exact.of_weights.interval_in_odds(), abs=0.01)
        assert exact.seeds > 0


def test_the_interval_of_a_method_covers_seeds_that_disagree(tmp_path: Path) -> None:
    results = [fake_run(tmp_path, seed=seed) for seed in (0, 1)]
    upside_down = tmp_path / results[1].id / "predictions.npz"
    scores = Predictions.load(upside_down)
    turned = Predictions(scores.videos, scores.offsets, 1 - scores.scores, scores.alignment, scores.classes)
    turned.save(upside_down)
    auc = results[1].metrics["frame_auc"]
    results[1] = results[1].model_copy(update={"metrics": {**results[1].metrics, "frame_auc": 1 - auc}})
    (found,) = build_leaderboard(tracked(results), [], lambda run, name: tmp_path / run.result.id / name).boards
    figure = found.rows[0].metrics["frame_auc"]
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < min(1 - auc, results[0].metrics["frame_auc"])
    assert figure.high > results[0].metrics["frame_auc"]


def test_every_output_shows_both_parts(board: Board, tmp_path: Path) -> None:
    found = Leaderboard((board,))
    row = next(row for row in board.rows if row.method == "alpha")
    figure = row.metrics["frame_auc"]
    assert None not in (figure.sd, figure.low, figure.high, figure.videos_low, figure.videos_high)
    stream = io.StringIO()
    print_leaderboard([board], Screen(file=stream, width=100))
    write_report(found, lambda run, name: tmp_path / run.result.id / name, tmp_path / "report", ["html"])
    (page,) = (tmp_path / "report" / "boards").iterdir()
    ends = [(figure.low, figure.high), (figure.videos_low, figure.videos_high)]
    for text, places, between in (
        (stream.getvalue(), 1, ", "),
        (markdown(found).replace("\\", ""), 2, ", "),
        (latex(found), 1, r",\,"),
        (page.read_text(), 2, ", "),
    ):
        for low, high in ends:
            assert f"[{percent(low, places)}{between}{percent(high, places)}]" in text
        assert percent(figure.sd) in text
        assert "one seed" in text.lower()
    (alpha,) = (each for each in csv.DictReader(io.StringIO(comma_separated(found))) if each["method"] == "alpha")
    written = board_dict(board)["rows"][board.rows.index(row)]["metrics"]["frame_auc"]
    for part in ("sd", "low", "high", "videos_low", "videos_high"):
        assert float(alpha[f"frame_auc_{part}"]) == written[part] == getattr(figure, part)
    assert alpha["claim"] == "method"


def test_what_would_settle_a_shared_first_rank_is_said() -> None:
    pair = OpenPair("A", "B", 0.012, -0.02, 0.044, seeds=3, needed=21)
    assert "About 18 more seeds each (21 in all)" in settled(pair, "frame_auc")
    assert "+1.20 points of Frame AUC [-2.00, 4.40] with 3 seeds each" in settled(pair, "frame_auc")
    assert "No number of seeds" in settled(OpenPair("A", "B", 0.012, -0.02, 0.044, 3, None), "frame_auc")


def test_a_board_names_the_pairs_that_share_its_first_rank(board: Board, tmp_path: Path) -> None:
    shared = [row for row in board.rows if row.rank == 1]
    assert len(board.open_pairs) == len(shared) - 1
    stream = io.StringIO()
    print_leaderboard([board], Screen(file=stream, width=100))
    for pair in board.open_pairs:
        assert pair.low < 0 < pair.high or len(shared) == 1
        assert f"{pair.a} and {pair.b} are not told apart" in stream.getvalue().replace("\n", " ")


def test_a_shared_rank_says_so_wherever_people_read_it(board: Board, tmp_path: Path) -> None:
    numbers = [row.rank for row in board.rows if row.rank]
    assert [row.shared for row in board.rows] == [numbers.count(row.rank or 0) > 1 for row in board.rows]
    honest = [row for row in board.rows if row.rank]
    for shared, text in ((True, "=1"), (False, "1")):
        rows = [
            dataclasses.replace(row, rank=1 if shared else place, shared=shared) for place, row in enumerate(honest, 1)
        ]
        made = Leaderboard((dataclasses.replace(board, rows=(*rows, *(row for row in board.rows if not row.rank))),))
        stream = io.StringIO()
        print_leaderboard(made.boards, Screen(file=stream, width=100))
        report = tmp_path / text
        write_report(made, lambda run, name: tmp_path / run.result.id / name, report, ["html", "csv", "json"])
        (page,) = (report / "boards").iterdir()
        assert re.search(rf"^ *{text} +{rows[0].method}", stream.getvalue(), re.MULTILINE)
        assert f"| {rows[0].title} | {text} |" in markdown(made)
        assert f"\n{text} & {rows[0].title} &" in latex(made)
        cell = f'<td class="num rank" data-figure="rank" data-value="1">{text}</td>'
        for path in (page, report / "index.html"):
            assert path.read_text().count(cell) == (2 if shared else 1)
        lines = csv.DictReader(io.StringIO((report / "leaderboard.csv").read_text()))
        assert next((line["rank"], line["shared"]) for line in lines) == ("1", str(shared))
