"""Which runs selectors mean: fields, operators, names that nobody has, and what tells runs apart."""

from __future__ import annotations

import pytest

from harness.errors import UserError
from harness.records.conditions import parsed
from harness.records.result import RunResult
from harness.records.run_filter import RunFilter, told_apart
from tests.fakes import fake_result


@pytest.fixture(scope="module")
def results() -> list[RunResult]:
    """Three methods; `alpha` with two rates and two presets, `gamma` on a variant of a data set."""
    return [
        fake_result(method="alpha", seed=0, config={"lr": 1e-4, "layers": {"depth": 2}, "mode": "top k"}),
        fake_result(method="alpha", seed=1, config={"lr": 1e-3, "layers": {"depth": 4}, "mode": "mean"}),
        fake_result(method="alpha", seed=0, preset="paper", config={"lr": 1e-4, "layers": {"depth": 2}}),
        fake_result(method="beta", seed=2, config={"epochs": 7, "sound": True}),
        fake_result(method="gamma", seed=0, dataset="toy@exact", selection="oracle", config={"epochs": 5}),
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("params.epochs > 5", [3]),
        ("params.epochs >= 5", [3, 4]),
        ("params.epochs < 7 and seed = 0", [4]),
        ("params.epochs <= 7 AND method != gamma", [3]),
        ("params.lr = 0.0001", [0, 2]),
        ("params.lr == 1e-3", [1]),
        ("params.lr!=1e-3", [0, 2]),
        ("params.layers.depth = 4", [1]),
        ("params.mode = 'top k'", [0]),
        ('params.mode != "top k"', [1]),
        ("params.sound = true", [3]),
        ("preset = paper", [2]),
        ("status = ok and device = cpu and metrics.frame_auc > 0", [0, 1, 2, 3, 4]),
        ("metrics.map@0.1 > 1", []),
        ("class_auc.Fight >= 0 and cost.parameters > 0", [0, 1, 2, 3, 4]),
    ],
)
def test_conditions_keep_the_runs_for_which_they_hold(results: list[RunResult], text: str, kept: list[int]) -> None:
    found = RunFilter(where=parsed(text)).chosen(results, lambda result: result)
    assert [results.index(result) for result in found] == kept


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("params.epoch > 5", "no run has params.epoch; did you mean params.epochs"),
        ("epochs > 5", "no run has epochs; did you mean params.epochs"),
        ("metrics.frame_acu > 0.8", "did you mean metrics.frame_auc"),
        ("params.zzzz = 1", "no run has params.zzzz; known: params.epochs, params.layers.depth, params.lr"),
        ("nothing.like.it = 1", "no run has nothing.like.it; known: "),
        ("params.mode > 5", "params.mode is text ('top k'); > needs a number"),
    ],
)
def test_a_field_that_no_run_has_is_answered_with_the_nearest(results: list[RunResult], text: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        RunFilter(where=parsed(text)).chosen(results, lambda result: result)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected FIELD"),
        ("params.epochs", "cannot read 'params.epochs'"),
        ("params.epochs > 5 or seed = 1", "cannot read 'or seed = 1'"),
        ("params.epochs > five", "expected a number after >, got 'five'"),
        ("params.epochs > nan", "expected a number after >"),
        ("seed = 1 and", "cannot read 'and'"),
        ("__import__('os').system('x')", "cannot read"),
    ],
)
def test_what_is_no_condition_is_refused_where_it_cannot_be_read(text: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        parsed(text)
    assert str(raised.value).startswith("--where ")
    assert told in str(raised.value)


def test_selectors_join_and_name_what_no_run_has(results: list[RunResult]) -> None:
    def kept(**selectors: object) -> list[int]:
        found = RunFilter(**selectors).chosen(results, lambda result: result)  # type: ignore[arg-type]
        return [results.index(result) for result in found]

    assert kept() == [0, 1, 2, 3, 4]
    assert kept(methods={"mil": ("alpha", "beta")}, seeds=(0, 2)) == [0, 2, 3]
    assert kept(datasets=("toy",)) == [0, 1, 2, 3, 4]
    assert kept(datasets=("toy@exact",)) == kept(selections=("oracle",)) == [4]
    assert kept(presets=("paper",), seeds=(1,)) == []
    for wrong, told in (
        ({"methods": {"alhpa": ("alhpa",)}}, "--methods alhpa: no run has it; did you mean alpha?"),
        ({"datasets": ("toy2",)}, "--dataset toy2: no run has it; did you mean toy"),
        ({"seeds": (9,)}, "--seeds 9: no run has it; there are 0, 1, 2"),
        ({"presets": ("slow",)}, "--preset slow: no run has it; there are fast, paper"),
        ({"features": ("i3d",)}, "--features i3d: no run has it; there are clip"),
    ):
        with pytest.raises(UserError) as raised:
            kept(**wrong)
        assert told in str(raised.value)


def test_words_are_those_of_the_command_line() -> None:
    chosen = RunFilter({"mil": ("a", "b")}, ("toy",), seeds=(0, 1), where=parsed("seed > 0"))
    assert chosen.words == '--dataset toy --methods mil --seeds 0,1 --where "seed > 0"'
    assert RunFilter().empty


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ((0, 2), "--preset fast or --preset paper"),
        ((0, 4), "--dataset toy or --dataset toy@exact and --selection last or --selection oracle"),
        ((0, 1), '--where "params.lr = 0.0001" or --where "params.lr = 0.001"'),
        ((0, 0), ""),
    ],
)
def test_what_tells_runs_apart_is_an_option_of_the_command(
    results: list[RunResult], pair: tuple[int, int], told: str
) -> None:
    one, other = (results[index] for index in pair)
    assert told_apart([one, other]) == told
    if told.startswith("--where"):
        text = told.split('"')[1]
        assert [parsed(text).holds(result) for result in (one, other)] == [True, False]
