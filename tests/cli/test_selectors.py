"""The same selectors choose among runs in every verb, and what they leave is what the verb works on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import fake_run

Call = Callable[..., tuple[int, str, str]]
# Selectors, and the runs (method, seed, preset) that they leave.
CHOSEN = {
    ("--methods", "alpha", "--preset", "fast"): [("alpha", 0, "fast"), ("alpha", 1, "fast")],
    ("--where", "params.epochs > 5"): [("alpha", 0, "paper")],
    ("--seeds", "0", "--where", "metrics.frame_auc >= 0 and params.epochs = 2"): [
        ("alpha", 0, "fast"),
        ("beta", 0, "fast"),
    ],
}
WRONG = {
    ("--dataset", "tou"): "--dataset tou: no run has it; did you mean toy?",
    ("--methods", "alpa"): "--methods alpa: no run has it; did you mean alpha?",
    ("--where", "params.epoch > 5"): "no run has params.epoch; did you mean params.epochs?",
    ("--where", "params.epochs >"): "expected FIELD",
    ("--seeds", "x"): "--seeds 'x'",
    ("--selection", "best"): "--selection 'best'",
    ("--methods", "beta", "--preset", "paper"): "--methods beta --preset paper: none of the 5 finished runs",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods with two seeds each, and a run of another preset."""
    place = tmp_path_factory.mktemp("selectors")
    for method in ("alpha", "beta"):
        for seed in (0, 1):
            fake_run(place, method=method, seed=seed, config={"epochs": 2}, classify=True)
    fake_run(place, method="alpha", seed=0, config={"epochs": 9}, preset="paper", classify=True)
    return place


@pytest.mark.parametrize("words", CHOSEN, ids=" ".join)
def test_every_verb_works_on_the_same_runs(words: tuple[str, ...], runs: Path, harness: Call, tmp_path: Path) -> None:
    def kept(ids: list[str]) -> list[tuple[str, int, str]]:
        documents = [json.loads((runs / name / "run.json").read_text()) for name in ids]
        return sorted((each["method"], each["seed"], each["spec"]["preset"]) for each in documents)

    code, out, err = harness("list", "runs", *words, "--out", str(runs), "--json")
    assert code == 0, err
    assert kept([row["id"] for row in json.loads(out)["runs"]]) == CHOSEN[words]
    code, _, err = harness("submit", *words, "--out", str(runs), "--to", str(tmp_path / "s.zip"))
    assert code == 0, err
    with zipfile.ZipFile(tmp_path / "s.zip") as packed:
        ids = {name.split("/")[1] for name in packed.namelist() if name.startswith("runs/")}
    assert kept(sorted(ids)) == CHOSEN[words]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_every_verb_refuses_the_same_with_the_same_words(
    words: tuple[str, ...], runs: Path, harness: Call, tmp_path: Path
) -> None:
    told = []
    for verb in (("list", "runs"), ("submit", "--to", str(tmp_path / "s.zip"))):
        code, out, err = harness(*verb, *words, "--out", str(runs), "--json")
        if verb[0] == "list" and "none of the" in WRONG[words]:
            assert (code, json.loads(out)) == (0, {"runs": []})  # a list may be empty
            continue
        assert (code, out) == (2, "")
        assert WRONG[words] in err
        told.append(err)
    assert len(set(told)) == 1
    assert not (tmp_path / "s.zip").exists()


def test_a_report_shows_the_runs_that_are_left_and_says_so(runs: Path, harness: Call) -> None:
    command = ("report", "--out", str(runs), "--formats", "json,md", "--json")
    code, out, err = harness(*command, "--methods", "alpha", "--preset", "fast")
    assert code == 0, err
    rows = json.loads(out)["leaderboard"][0]["rows"]
    assert [(row["method"], row["preset"], row["seeds"]) for row in rows] == [("alpha", "fast", [0, 1])]
    notice = "Only some runs are shown, 2 of 5: --methods alpha --preset fast"
    assert notice in err
    assert notice in (runs / "report" / "leaderboard.md").read_text()
    code, out, err = harness(*command)
    assert (code, len(json.loads(out)["leaderboard"][0]["rows"])) == (0, 3)
    assert "Only some" not in (runs / "report" / "leaderboard.md").read_text()
    code, out, err = harness(*command, "--dataset", "tou")
    assert (code, out) == (2, "")
    assert "did you mean toy?" in err


def test_sides_of_a_comparison_are_chosen_too(runs: Path, harness: Call) -> None:
    def sides(*words: str) -> list[tuple[str, int]]:
        code, out, err = harness("compare", *words, "--out", str(runs), "--json", "--resamples", "100")
        assert code == 0, err
        return [(each["name"], each["seeds"]) for each in json.loads(out)["sides"]]

    code, _, err = harness("compare", "alpha", "beta", "--out", str(runs))
    assert code == 2
    assert "--preset fast or --preset paper tells them apart" in err
    assert sides("alpha", "beta", "--preset", "fast") == [("alpha", 2), ("beta", 2)]
    assert sides("--methods", "alpha,beta", "--where", "params.epochs = 2") == [("alpha", 2), ("beta", 2)]
    seeds = ("--seeds", "0", "--where", "params.epochs < 9")
    assert sides("alpha", "--methods", "beta", *seeds) == [("alpha", 1), ("beta", 1)]
    code, _, err = harness("compare", "alpha", "beta", "--out", str(runs), "--where", "params.epoch = 2")
    assert code == 2
    assert "did you mean params.epochs?" in err
    code, _, err = harness("compare", "alpha", "beta", "--out", str(runs), "--preset", "paper")
    assert code == 2
    assert "beta: no finished run of beta with --preset paper below" in err


def test_only_runs_are_chosen(harness: Call) -> None:
    code, out, err = harness("list", "methods", "--preset", "fast")
    assert (code, out) == (2, "")
    assert "list methods --preset fast: only runs are chosen" in err


def test_old_spellings_work_and_say_the_new_one(runs: Path, harness: Call, tmp_path: Path) -> None:
    code, _, err = harness("submit", "beta", "--runs", str(runs), "--out", str(tmp_path / "old.zip"))
    assert code == 0
    assert err.splitlines() == [
        "--out is now --to; the old spelling works until the next minor version",
        "--runs is now --out; the old spelling works until the next minor version",
    ]
    assert harness("submit", "beta", "--out", str(runs), "--to", str(tmp_path / "new.zip"))[::2] == (0, "")
    assert (tmp_path / "old.zip").read_bytes() == (tmp_path / "new.zip").read_bytes()
    code, _, err = harness("new-method", "mine", "--out", str(tmp_path))
    assert (code, "--out is now --to" in err) == (0, True)
    assert (tmp_path / "harness-mine").is_dir()
    code, _, err = harness("submit", "--to", str(tmp_path / "x.zip"))
    assert (code, "name runs or methods" in err) == (2, True)
