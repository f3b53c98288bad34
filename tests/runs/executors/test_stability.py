"""What only rounds otherwise is measured, flagged, shown beside the rows, and is never a result of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.report.leaderboard.build import build_leaderboard
from harness.report.tables import comma_separated, markdown
from harness.runs.stability import Grid, levels_here
from harness.tracking.rounding_spread import LIMIT, Spread, key_of, record, recorded
from harness.tracking.tracker import TrackedRun, Tracker
from tests.fakes import fake_result, fake_run

Run = Callable[..., tuple[int, dict, str]]


@pytest.mark.slow
def test_a_chaotic_method_is_flagged_and_a_stable_one_is_not(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    arguments = (
        "--methods",
        "faulty",
        "--sweep",
        "faulty.fault=none,chaos",
        "--stability",
        "--stability-grid",
        "quick",
    )
    code, document, stderr = run(out, *arguments, "--jobs", "2")
    assert "Traceback" not in stderr
    faults = {found["id"]: found["spec"]["config"]["fault"] for found in document["runs"]}
    assert sorted(faults.values()) == ["chaos", "none"]
    recipes = {found.result.spec.recipe: found.result.id for found in Tracker(None, out).runs() if found.result.spec}
    spreads = {faults[recipes[spread["recipe"]]]: spread for spread in document["stability"]}
    assert spreads["none"]["stable"]
    assert not spreads["chaos"]["stable"]
    assert spreads["chaos"]["width"] > LIMIT > spreads["none"]["width"]
    assert all(len(spread["values"]) == 5 and not spread["failed"] for spread in spreads.values())
    assert code == 1, "a check did not hold"
    assert "failed: faulty seed 0: rounding alone moves its AUC by" in stderr
    # The variants are gone, and were never results.
    assert {found.result.id for found in Tracker(None, out).runs()} == set(faults)
    assert not list((out / ".stability").glob("*/run.json"))
    (board,) = document["leaderboard"]
    assert {row["config"]["fault"]: row["stability"] for row in board["rows"]} == {
        fault: spread["width"] for fault, spread in spreads.items()
    }
    code, again, stderr = run(out, *arguments)
    assert again["stability"] == document["stability"], "what is recorded is not measured again"
    assert "Traceback" not in stderr


def test_variants_need_processes_of_their_own(run: Run, tmp_path: Path) -> None:
    code, _, stderr = run(tmp_path, "--methods", "faulty", "--stability", "--executor", "inline")
    assert code == 2
    assert "--stability with --executor inline" in stderr


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("quick", [True, False])
def test_variants_share_the_recipe_and_never_the_identity(device: str, quick: bool) -> None:
    spec = fake_result(device=device).spec
    assert spec is not None
    variants = Grid(quick).variants(spec)
    identities = {variant.identity for variant in variants.values()}
    assert len(identities) == len(variants) >= 3
    assert {variant.recipe for variant in variants.values()} == {spec.recipe}
    assert not spec.variant
    assert all(variant.variant for variant in variants.values())
    # Nor that of a run that somebody asks for with this number of threads.
    assert identities.isdisjoint(spec.model_copy(update={"threads": threads}).identity for threads in (1, 2, 4))
    if device == "cpu" and not quick:
        assert {(v.capability, v.threads) for v in variants.values()} >= {(c, t) for c in levels_here() for t in (1, 2)}


def test_another_seed_config_or_code_is_another_spread() -> None:
    spec = fake_result().spec
    assert spec is not None
    assert key_of(spec.model_copy(update={"threads": 7})) == key_of(spec)
    for change in ({"seed": 1}, {"config": {}}, {"code": "x"}, {"feature_hash": "x"}, {"preset": "paper"}):
        assert key_of(spec.model_copy(update=change)) != key_of(spec)


def test_a_variant_enters_neither_the_store_nor_a_board(tmp_path: Path) -> None:
    plain, variant = fake_run(tmp_path), fake_run(tmp_path, capability="avx2")
    tracker = Tracker(None, tmp_path)
    with pytest.raises(UserError, match="a variant of a run"):
        tracker.record(tmp_path / variant.id)
    problems = tracker.sync()
    assert len(problems) == 1
    assert [found.result.id for found in tracker.runs()] == [plain.id]
    runs = [TrackedRun(str(number), "", number, result) for number, result in enumerate((plain, variant))]
    (board,) = build_leaderboard(runs, [], lambda found, name: tmp_path / found.result.id / name).boards
    assert [row.runs for row in board.rows] == [(plain.id,)]


def _spread(seed: int, *values: float) -> Spread:
    spec = fake_result(seed=seed).spec
    assert spec is not None
    facts = {name: getattr(spec, name) for name in ("recipe", "method", "dataset", "features", "preset", "selection")}
    return Spread(**facts, seed=seed, values={str(number): value for number, value in enumerate(values)})


def test_the_widest_spread_of_a_row_is_shown_beside_it(tmp_path: Path) -> None:
    tracker = Tracker(None, tmp_path)
    for spread in (_spread(0, 0.5, 0.9), _spread(0, 0.7, 0.701), _spread(1, 0.8, 0.8125, 0.81)):
        record(tracker, spread)
    spreads = recorded(tracker)
    assert {key[1]: spread.width for key, spread in spreads.items()} == pytest.approx({0: 0.001, 1: 0.0125})
    results = [fake_run(tmp_path, seed=seed) for seed in (0, 1)] + [fake_run(tmp_path, method="beta")]
    runs = [TrackedRun(str(number), "", number, result) for number, result in enumerate(results)]
    made = build_leaderboard(runs, [], lambda found, name: tmp_path / found.result.id / name, spreads=spreads)
    found = {row.method: row.stability for row in made.boards[0].rows}
    assert found == {"alpha": pytest.approx(0.0125), "beta": None}
    assert "| Rounding |" in markdown(made)
    assert "| 1.25 |" in markdown(made)
    assert "stability" in comma_separated(made).splitlines()[0].split(",")
    assert json.loads(json.dumps(made.to_dict()))["boards"][0]["rows"]
    assert tracker._stored("FINISHED", None) == [], "a spread is no run"


def test_a_variant_that_fails_is_no_stable_result() -> None:
    spread = _spread(0, 0.7, 0.7).model_copy(update={"failed": {"avx2, 1 thread": "diverged"}})
    assert not spread.stable
    assert spread.words == "its variant avx2, 1 thread failed: diverged"
