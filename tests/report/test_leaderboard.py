from __future__ import annotations

import io
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.errors import UserError
from harness.report import leaderboard
from harness.report.board import Leaderboard
from harness.report.leaderboard import build
from harness.report.published import published
from harness.report.terminal import print_leaderboard
from harness.report.timelines import NORMAL, VIDEOS, choose
from harness.spec import RunResult
from harness.track import TrackedRun
from harness.truth import GroundTruth, VideoTruth
from tests.fakes import ALIGNMENT, fake_result, fake_run


def tracked(results: list[RunResult]) -> list[TrackedRun]:
    return [TrackedRun(f"id{index}", "", index, result) for index, result in enumerate(results)]


def built(out: Path, *changes: dict[str, Any], seeds: int = 2, **options: Any) -> Leaderboard:
    results = [fake_run(out, seed=seed, **fields) for fields in changes for seed in range(seeds)]
    return build(tracked(results), [], lambda run, name: out / run.result.id / name, **options)


def test_means_deviations_and_intervals_over_seeds(tmp_path: Path) -> None:
    (board,) = built(tmp_path, {"method": "alpha"}, {"method": "beta"}, seeds=3).boards
    for row in board.rows:
        for name in board.metrics:
            values = [member.result.metrics[name] for member in row.members]
            assert row.metrics[name].mean == pytest.approx(statistics.fmean(values), abs=1e-15)
            assert row.metrics[name].sd == pytest.approx(statistics.stdev(values), abs=1e-15)
        figure = row.metrics["frame_auc"]
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.mean < figure.high
        assert row.metrics["video_auc"].low is None
        assert row.seeds == (0, 1, 2)
    assert [row.metrics[board.primary].mean for row in board.rows] == sorted(
        (row.metrics[board.primary].mean for row in board.rows), reverse=True
    )


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    (board,) = built(tmp_path, {}, seeds=1).boards
    assert board.rows[0].metrics["frame_auc"].sd is None


def test_last_shows_the_gap_of_the_matching_oracle(tmp_path: Path) -> None:
    changes = [{"selection": "last"}, {"selection": "oracle"}, {"selection": "last", "config": {"lr": 1.0}}]
    (board,) = built(tmp_path, *changes).boards
    gaps = {(row.selection, row.config.get("lr")): row.oracle_gap for row in board.rows}
    assert gaps == {("last", 1e-4): pytest.approx(0.015), ("oracle", 1e-4): pytest.approx(0.015), ("last", 1.0): None}


def test_rows_differ_by_config_preset_tower_and_scale(tmp_path: Path) -> None:
    changes = [{}, {"config": {"lr": 1.0}}, {"preset": "paper"}, {"text_tower": "seeded"}, {"scale": 2.0}]
    (board,) = built(tmp_path, *changes).boards
    assert len(board.rows) == 5


@pytest.mark.parametrize(
    "change",
    [{"feature_hash": "e" * 64}, {"protocol": "other"}, {"dataset_hash": "b" * 64}, {"excluded": ("v1",)}],
)
def test_what_cannot_be_compared_shares_no_board(tmp_path: Path, change: dict[str, Any]) -> None:
    boards = built(tmp_path, {}, change).boards
    assert len(boards) == 2
    assert len({board.title for board in boards}) == 2
    assert all("Other tables" in " ".join(board.cautions) for board in boards)


def test_the_newest_run_of_a_seed_counts(tmp_path: Path) -> None:
    (board,) = built(tmp_path, {"code": "1"}, {"code": "2"}).boards
    (row,) = board.rows
    assert (row.seeds, row.code) == ((0, 1), ("2",))


def test_missing_predictions_leave_out_the_interval_only(tmp_path: Path) -> None:
    result = fake_run(tmp_path)

    def missing(run: TrackedRun, name: str) -> Path:
        if name == "predictions.npz":
            raise UserError("gone")
        return tmp_path / run.result.id / name

    (board,) = build(tracked([result]), [], missing).boards
    assert board.rows[0].metrics["frame_auc"].low is None
    assert any("gone" in caution for caution in board.cautions)


def test_intervals_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = built(tmp_path, {}, cache=cache)
    monkeypatch.setattr("harness.metrics.bootstrap.intervals", None)
    assert built(tmp_path, {}, cache=cache).to_dict() == first.to_dict()


def test_json_form_and_failures(tmp_path: Path) -> None:
    failed = fake_result(seed=9).model_copy(update={"status": "failed", "error": "out of memory"})
    board = build(tracked([fake_run(tmp_path)]), tracked([failed]), lambda run, name: tmp_path / run.result.id / name)
    value = json.loads(json.dumps(board.to_dict(), allow_nan=False))
    assert value["failures"][0]["error"] == "out of memory"
    assert value["boards"][0]["rows"][0]["runs"] == [fake_result().id]


def test_published_numbers_prefer_the_same_features() -> None:
    assert published("UR-DMU", "ucf-crime", "clip")["frame_auc"].value == pytest.approx(0.8675)
    assert published("UR-DMU", "ucf-crime", "clip")["frame_auc"].feature == "CLIP ViT-B/16"
    assert published("", "ucf-crime", "clip") == {}
    assert published("DSANet", "elsewhere", "clip") == {}


def test_published_number_stands_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard, "_names", lambda method: ("DSANet", "DSANet"))
    (board,) = built(tmp_path, {"dataset": "ucf-crime"}).boards
    assert board.rows[0].published["frame_auc"].value == pytest.approx(0.8944)
    assert board.rows[0].published["frame_auc"].source


def test_terminal_table_fits_a_hundred_columns(tmp_path: Path) -> None:
    boards = built(tmp_path, {"method": "[bold]anomaly-method"}, {"selection": "oracle"}).boards
    stream = io.StringIO()
    print_leaderboard(boards, Console(file=stream, width=100))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "[bold]" in stream.getvalue()
    figure = boards[0].rows[0].metrics["frame_auc"]
    assert f"{100 * figure.mean:.2f} ± {100 * (figure.sd or 0):.2f}" in stream.getvalue()


def test_chosen_videos_cover_every_class_without_scores() -> None:
    videos = {f"v{i:03d}": VideoTruth(160, (i % 14,)) for i in range(280)}
    truth = GroundTruth("toy", tuple(map(str, range(14))), ALIGNMENT, videos)
    chosen = choose(truth, dict.fromkeys(videos, 10), 3)
    labels = [videos[name].labels[0] for name in chosen]
    assert len(chosen) == VIDEOS
    assert labels.count(0) == NORMAL
    assert set(labels) == set(range(14))
    assert "v001" not in choose(truth, {**dict.fromkeys(videos, 10), "v001": 10**6}, 3)
