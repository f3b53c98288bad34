from __future__ import annotations

import io
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.console import Screen
from harness.errors import UserError
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.truth import Event, GroundTruth, VideoTruth
from harness.registry import changed_settings
from harness.report.leaderboard import rows
from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.build import build_leaderboard
from harness.report.leaderboard.critical import diagram
from harness.report.leaderboard.published import published
from harness.report.leaderboard.ranking import grouped
from harness.report.site.reproduce import command
from harness.report.site.row_pictures import row_pictures
from harness.report.site.run_scores import run_scores, start
from harness.report.site.timelines import Timelines
from harness.report.tables import comma_separated, latex, markdown
from harness.report.terminal import print_leaderboard
from harness.tracking.tracker import TrackedRun
from tests.fakes import ALIGNMENT, CLASSES, fake_result, fake_run


def tracked(results: list[RunResult]) -> list[TrackedRun]:
    return [TrackedRun(f"id{index}", "", index, result) for index, result in enumerate(results)]


def built(out: Path, *changes: dict[str, Any], seeds: int = 2, **options: Any) -> Leaderboard:
    results = [fake_run(out, seed=seed, **fields) for fields in changes for seed in range(seeds)]
    return build_leaderboard(tracked(results), [], lambda run, name: out / run.result.id / name, **options)


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

    (board,) = build_leaderboard(tracked([result]), [], missing).boards
    assert board.rows[0].metrics["frame_auc"].low is None
    assert any("gone" in caution for caution in board.cautions)


def test_intervals_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = built(tmp_path, {}, cache=cache)
    monkeypatch.setattr("harness.metrics.variance.mean", None)
    assert built(tmp_path, {}, cache=cache).to_dict() == first.to_dict()


def test_json_form_and_failures(tmp_path: Path) -> None:
    failed = fake_result(seed=9).model_copy(update={"status": "failed", "error": "out of memory", "log": "step 3"})
    board = build_leaderboard(
        tracked([fake_run(tmp_path)]), tracked([failed]), lambda run, name: tmp_path / run.result.id / name
    )
    value = json.loads(json.dumps(board.to_dict(), allow_nan=False))
    assert (value["failures"][0]["error"], value["failures"][0]["log"]) == ("out of memory", "step 3")
    assert value["boards"][0]["rows"][0]["runs"] == [fake_result().id]


def test_published_numbers_prefer_the_same_features() -> None:
    assert published("UR-DMU", "ucf-crime", "clip")["frame_auc"].value == pytest.approx(0.8675)
    assert published("UR-DMU", "ucf-crime", "clip")["frame_auc"].feature == "CLIP ViT-B/16"
    assert published("", "ucf-crime", "clip") == {}
    assert published("DSANet", "elsewhere", "clip") == {}


def test_an_incomplete_data_set_has_a_board_of_its_own_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_names", lambda method: ("DSANet", "clip", "DSANet"))
    part = "184 of 1,610 training videos"
    found = built(tmp_path, {"dataset": "ucf-crime"}, {"dataset": "ucf-crime", "method": "beta", "partial": part})
    boards = {board.partial: board for board in found.boards}
    assert {name: [row.method for row in board.rows] for name, board in boards.items()} == {
        "": ["alpha"],
        part: ["beta"],
    }
    own = boards[part]
    assert own.title.startswith(f"ucf-crime · clip [{part}")
    assert part not in boards[""].title
    assert part in own.cautions[0]
    assert own.protocol.endswith(f"; incomplete: {part}")
    assert not own.rows[0].published, "a published number was had on the whole data set"
    assert boards[""].rows[0].published
    (alone,) = built(tmp_path, {"dataset": "ucf-crime", "partial": part}).boards
    assert alone.title == f"ucf-crime · clip [{part}]"
    for text in (markdown(found), latex(found), comma_separated(found), json.dumps(found.to_dict())):
        assert part in text
    stream = io.StringIO()
    print_leaderboard([own], Screen(file=stream, width=100))
    assert part in " ".join(stream.getvalue().split())


def test_published_number_stands_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_names", lambda method: ("DSANet", "clip", "DSANet"))
    (board,) = built(tmp_path, {"dataset": "ucf-crime"}).boards
    assert board.rows[0].published["frame_auc"].value == pytest.approx(0.8944)
    assert board.rows[0].published["frame_auc"].source


def test_terminal_table_fits_a_hundred_columns(tmp_path: Path) -> None:
    boards = built(tmp_path, {"method": "[bold]anomaly-method"}, {"selection": "oracle"}).boards
    stream = io.StringIO()
    print_leaderboard(boards, Screen(file=stream, width=100))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "[bold]" in stream.getvalue()
    figure = boards[0].rows[0].metrics["frame_auc"]
    assert f"{100 * figure.mean:.2f} ± {100 * (figure.sd or 0):.2f}" in stream.getvalue()


def test_timelines_hold_every_video_with_means_over_seeds(tmp_path: Path) -> None:
    (board,) = built(tmp_path, {"classify": True}, {"method": "beta"}).boards
    first = board.rows[0].members[0]
    truth = GroundTruth.load(tmp_path / first.result.id / "truth.json")
    drawn = row_pictures(board.rows, truth, lambda run, name: tmp_path / run.result.id / name, None)()
    found = Timelines(truth, [row["line"] for row in drawn], ["one", "two"])
    assert [video["name"] for video in found.index["videos"]] == list(truth.videos)
    parts = [json.loads(part.removeprefix("harnessVideo(").removesuffix(");\n")) for part in found.parts()]
    assert [part["number"] for part in parts] == list(range(12))
    for key, row in enumerate(board.rows):
        loaded = [Predictions.load(tmp_path / run.result.id / "predictions.npz") for run in row.members]
        mean = np.mean([each.scores[each.rows(4)] for each in loaded], axis=0)
        low, high = found.index["rows"][key]["low"], found.index["rows"][key]["high"]
        shown = low + np.array(parts[4]["scores"][key]) / 1000 * (high - low)
        assert np.allclose(shown, mean, atol=6e-4 * (high - low))
        if loaded[0].class_probs is None:
            assert parts[4]["probabilities"][key] is None
            continue
        probs = np.mean([each.class_probs[each.rows(4)] for each in loaded], axis=0)  # type: ignore[index]
        drawn = np.array([[ord(letter) - 35 for letter in column] for column in parts[4]["probabilities"][key]]) / 90
        assert np.allclose(drawn.T, probs, atol=6e-3)
        for run in row.members:
            own = Predictions.load(tmp_path / run.result.id / "predictions.npz")
            low, high, count, levels = run_scores(own, truth)["videos"][4]
            assert count == len(levels) == len(own.scores[own.rows(4)])
            shown = low + (np.array([ord(level) for level in levels]) - 35) / 90 * (high - low)
            assert np.allclose(shown, own.scores[own.rows(4)], atol=(high - low) / 179)
    assert parts[4]["edges"][-1] == truth.videos["video_04"].frames
    assert len(parts[4]["edges"]) == len(parts[4]["scores"][0]) + 1


def test_long_videos_and_other_ranges_are_thinned_and_scaled(tmp_path: Path) -> None:
    result = fake_run(tmp_path)
    place = tmp_path / result.id
    videos = {"long": VideoTruth(16 * 3001, (0,)), "short": VideoTruth(160, (1,), (Event(16, 50, 1),))}
    truth = GroundTruth("toy", CLASSES, ALIGNMENT, videos)
    scores = np.linspace(-5, 5, 3011, dtype=np.float32)
    Predictions(tuple(videos), np.array([0, 3001, 3011]), scores, ALIGNMENT, CLASSES).save(place / "predictions.npz")
    truth.save(place / "truth.json")
    (board,) = build_leaderboard(tracked([result]), [], lambda run, name: place / name).boards
    found = Timelines(
        truth, [row_pictures(board.rows, truth, lambda run, name: place / name, None)()[0]["line"]], ["one"]
    )
    long, short = (json.loads(part[len("harnessVideo(") : -3]) for part in found.parts())
    assert found.index["rows"][0]["scaled"]
    assert (len(long["scores"][0]), long["edges"][:2], long["edges"][-1]) == (1001, [0, 48], 48016)
    assert long["scores"][0] == sorted(long["scores"][0])
    assert (short["scores"][0][-1], short["events"]) == (1000, [[16, 50, "Fight"]])
    own = run_scores(Predictions.load(place / "predictions.npz"), truth)
    (low, high, count, levels), (*_, few) = own["videos"]
    assert (low, count, len(levels), len(few)) == (pytest.approx(-4.975, abs=1e-3), 3001, 188, 10)
    assert high == pytest.approx(4.958, abs=2e-2)


def test_a_page_opens_on_the_annotated_video_whose_scores_vary_most() -> None:
    events = (Event(16, 50, 1),)
    videos = {
        "normal": VideoTruth(160, (0,)),
        "steady": VideoTruth(160, (1,), events),
        "moving": VideoTruth(160, (1,), events),
        "wilder": VideoTruth(160, (1,), ()),
    }
    truth = GroundTruth("toy", CLASSES, ALIGNMENT, videos)
    line = [np.array(own) for own in ([0.0, 1.0], [0.4, 0.5], [0.9, 0.2], [0.0, 1.0])]
    assert start([line], truth) == 2
    # A line counts by its own range, and one that lacks a video has no say there.
    assert start([line, [None, np.array([40.0, 10.0]), None, None]], truth) == 1
    assert start([[np.array([0.5])] * 4], truth) == 1, "the first annotated one"
    assert start([], truth.where(lambda video: video.normal)) == 0


def test_rows_that_cannot_be_told_apart_share_a_rank() -> None:
    runs = [(run,) for run in tracked([fake_result(method=name) for name in "abcde"])]
    p_values = {"ab": 0.5, "ac": 0.004, "ad": 0.3, "ae": 0.001, "cd": 0.2, "ce": 0.04}

    def p_value(one: Any, other: Any) -> float:
        return p_values[one[0].result.method + other[0].result.method]

    # Holm among the four below a: e 0.004, c 0.012. Among the two below c: e 0.08.
    assert grouped(runs, p_value) == [1, 1, 3, 3, 3]
    assert grouped(runs, lambda one, other: None) == [None] * 5
    assert grouped(runs[:1], p_value) == [1]


def test_who_looked_at_the_test_set_has_no_rank(tmp_path: Path) -> None:
    (board,) = built(tmp_path, {}, {"selection": "oracle"}, {"method": "beta"}).boards
    assert {row.selection: row.rank is None for row in board.rows} == {"last": False, "oracle": True}
    assert min(row.rank for row in board.rows if row.rank) == 1


def test_paired_tests_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = built(tmp_path, {}, {"method": "beta"}, cache=cache)
    monkeypatch.setattr("harness.metrics.histograms.resampled", None)
    assert built(tmp_path, {}, {"method": "beta"}, cache=cache).to_dict() == first.to_dict()


def test_the_command_names_what_differs_from_the_preset(tmp_path: Path) -> None:
    (board,) = built(tmp_path, {"method": "deepmil", "config": {"lr": 0.5}}, {"method": "it's"}).boards
    texts = {
        row.method: command(board, row, row.seeds, changed_settings(row.method, "", row.preset, row.config))
        for row in board.rows
    }
    assert "--seeds 0,1 --selection last --preset fast --set deepmil.lr=0.5" in texts["deepmil"]
    assert "--methods 'it'\"'\"'s'" in texts["it's"]


def test_average_ranks_over_data_sets(tmp_path: Path) -> None:
    changes = [{"method": m, "dataset": d} for d in ("one", "two") for m in ("alpha", "beta", "gamma")]
    parts = [{"method": m, "dataset": "two", "partial": "1 of 2 test videos"} for m in ("alpha", "beta", "gamma")]
    assert diagram(built(tmp_path, *changes[:3], *parts).boards) is None, "incomplete data sets do not count"
    boards = built(tmp_path, *changes, {"method": "alpha", "dataset": "one", "config": {"lr": 1.0}}).boards
    assert diagram(boards) is None, "alpha has two rows on one board, so only two methods are left"
    found = diagram(built(tmp_path, *changes).boards)
    assert found is not None
    assert {entry.method for entry in found.entries} == {"alpha", "beta", "gamma"}
    assert sum(entry.rank for entry in found.entries) == pytest.approx(6)
    assert [entry.rank for entry in found.entries] == sorted(entry.rank for entry in found.entries)


def test_numbers_of_another_version_are_pointed_out(tmp_path: Path) -> None:
    fresh, old = fake_run(tmp_path), fake_run(tmp_path, method="beta")
    old = old.model_copy(update={"metrics": {**old.metrics, "frame_auc": old.metrics["frame_auc"] + 1e-6}})
    (board,) = build_leaderboard(tracked([fresh, old]), [], lambda run, name: tmp_path / run.result.id / name).boards
    assert [text.rpartition(": ")[2] for text in board.cautions if "another version" in text] == ["beta."]
