"""One leaderboard from several stores and submissions: every run once, its source named, nothing believed unchecked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.data.bank import Bank, bank_path
from harness.errors import UserError
from harness.identity import check_record as checked
from harness.metrics.protocol import evaluate
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.report.leaderboard.build import build_leaderboard
from harness.report.sources import Sources, joined
from harness.submissions.pack import pack
from harness.tracking.tracker import Tracker
from tests.data.trees import ucf_tree
from tests.submissions.changes import contents, edit_json, edit_scores, one_score, rehash, run_of, write


@dataclass
class Team:
    """Two stores and a submission, of one training each with seeds 0 and 1, 1 and 2, 0 and 3."""

    own: Tracker
    other: Path
    file: Path


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    tree = ucf_tree(tmp_path / "ucf")
    tree.load()
    return Bank(bank_path(tree.card.name, "clip"))


@pytest.fixture
def team(bank: Bank, empty_store: Path, tmp_path: Path) -> Team:
    trackers = {name: Tracker(None, tmp_path / name / "runs") for name in ("own", "other")}
    for (name, tracker), seeds in zip(trackers.items(), ((0, 1), (1, 2)), strict=True):
        tracker.out.mkdir(parents=True)
        shutil.copy(empty_store, tracker.out / "mlflow.db")
        for seed in seeds:
            tracker.record(run_of(bank, tmp_path / name / "runs", seed))
    file = tmp_path / "files" / "team-c.zip"
    pack([run_of(bank, tmp_path / "third", seed) for seed in (0, 3)], file)
    return Team(trackers["own"], trackers["other"].out, file)


def facts(sources: Sources) -> dict[int, str]:
    return {run.result.seed: run.result.provenance.get("source", "") for run in sources.runs}


def test_the_own_store_alone_is_as_it_was(team: Team) -> None:
    with joined(team.own) as sources:
        assert list(sources.runs) == team.own.runs()
        assert sources.notices == ()
    with joined(team.own, [str(team.other)]) as sources:
        assert facts(sources) == {0: "own/runs", 1: "own/runs", 2: "other/runs"}


def test_runs_of_all_sources_make_one_row(team: Team) -> None:
    for words in ([f"sqlite:///{team.other / 'mlflow.db'}", str(team.file)], [str(team.other), str(team.file.parent)]):
        with joined(team.own, words) as sources:
            assert facts(sources) == {0: "own/runs", 1: "own/runs", 2: "other/runs", 3: "team-c.zip (submitted)"}
            assert len(sources.notices) == 1
            assert sources.notices[0].startswith("team-c.zip: submitted. Its metrics were computed again")
            for run in sources.runs:
                truth = GroundTruth.load(sources.artifact(run, "truth.json"))
                predictions = Predictions.load(sources.artifact(run, "predictions.npz"))
                assert evaluate(predictions, truth).metrics == run.result.metrics
                assert sources.artifact(run, "history.json").is_file()
            (board,) = build_leaderboard(sources.runs, sources.failures, sources.artifact).boards
            (row,) = board.rows
            assert row.seeds == (0, 1, 2, 3)
            assert row.provenance["source"] == ("other/runs", "own/runs", "team-c.zip (submitted)")
            assert row.metrics["frame_auc"].low is not None


def test_a_submission_earns_no_badge_by_saying_so(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "shipped_record", lambda: team.file.with_name("none.json"))
    claims = {"fidelity": "parity 9/9", "checked": "passed", "source": "the stars"}
    files = contents(team.file)
    for name in [name for name in files if name.endswith("run.json")]:
        part = {name: files[name], "run.json": files[name]}
        edit_json(part, name, lambda run: run.update(provenance=claims))
        files[name] = part[name]
    rehash(files)
    write(team.file, files)
    with joined(team.own, [str(team.file)]) as sources:
        (run,) = [run for run in sources.runs if run.result.seed == 3]
        assert run.result.provenance == {"fidelity": "", "checked": "", "source": "team-c.zip (submitted)"}


def test_what_is_false_stops_and_what_is_unknown_is_left_out(team: Team, bank: Bank) -> None:
    files = contents(team.file)
    edit_scores(files, one_score)
    rehash(files)
    write(team.file, files)
    with (
        pytest.raises(UserError, match=r"team-c\.zip: run \S+ is rejected: metrics are not those of the scores"),
        joined(team.own, [str(team.file)]),
    ):
        pass
    shutil.rmtree(bank.path)
    with joined(team.own, [str(team.file)]) as sources:
        assert facts(sources) == {0: "runs", 1: "runs"}
        missing = "small-ucf/clip is not here."
        assert sources.notices == (f"team-c.zip: 2 of 2 runs are left out, not verified: {missing}",)


def test_what_is_no_source_ends_in_one_line(team: Team, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("x")
    for word, reason in (
        ("nothing", "no such file or directory, and no MLflow URI"),
        (str(tmp_path / "empty"), "holds neither an MLflow store"),
        (str(tmp_path / "text"), "not a zip file"),
        ("sqlite:////nowhere/mlflow.db", "no such file"),
    ):
        with pytest.raises(UserError, match=reason), joined(team.own, [word]):
            pass


def test_the_page_says_where_rows_come_from(
    team: Team, tmp_path: Path, harness: Callable[..., tuple[int, str, str]]
) -> None:
    pages = tmp_path / "pages"
    sources = ("--also", str(team.file), "--also", str(team.other))
    code, out, err = harness("report", "--out", str(team.own.out), *sources, "--publish", str(pages))
    assert code == 0, err
    assert "team-c.zip: submitted. Its metrics were computed again" in err
    assert f"published to {pages}" in out
    assert "team-c.zip: submitted. Its metrics" in (pages / "index.html").read_text()
    (board,) = json.loads((pages / "data" / "leaderboard.json").read_text())["boards"]
    assert board["rows"][0]["provenance"]["source"] == ["other/runs", "own/runs", "team-c.zip (submitted)"]
    assert "from " in next((pages / "boards").glob("*.html")).read_text()
