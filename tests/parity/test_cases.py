"""The parity checker, the committed cases, and all official cases where they lie beside the repository."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.methods.parity.adapter import by_kind
from harness.parity.case import kind_of
from harness.parity.cases import Case, CaseResult, Computed, check_case, compare_outputs, read_case

HERE = Path(__file__).parent
BESIDE = Path(__file__).parents[3] / "shared"


def _given() -> list[Path]:
    """Official cases beside the repository whose method has an adapter."""
    known = {entry.name for entry in entry_points(group="harness.parity")}
    folders = ("parity", "parity-train", "parity-next", "extraction")
    cases = [path.parent for folder in folders for path in sorted((BESIDE / folder).glob("*/case.json"))]
    return [path for path in cases if json.loads((path / "case.json").read_text())["method"] in known]


@functools.cache
def _checked(path: Path) -> CaseResult:
    return check_case(read_case(path))


def checked(path: Path) -> CaseResult:
    """The result of a case; the committed ones also lie beside the repository and are computed once."""
    first = HERE / path.name
    files = [(path / name).read_bytes() for name in ("case.json", "expected.npz")]
    same = first.is_dir() and files == [(first / name).read_bytes() for name in ("case.json", "expected.npz")]
    return _checked(first if same else path)


@pytest.mark.parametrize("path", sorted(path.parent for path in HERE.glob("*/case.json")), ids=lambda path: path.name)
def test_committed_case(path: Path) -> None:
    result = checked(path)
    assert result.ok, result.worst


@pytest.mark.parametrize("path", _given() or [None], ids=lambda path: path.name if path else "none")
def test_official_case(path: Path | None) -> None:
    if path is None:
        pytest.skip("no official cases beside the repository")
    result = checked(path)
    assert result.ok, [error for error in result.errors if not error.ok]


def _case(expected: dict[str, np.ndarray], **spec: object) -> Case:
    relative = {"outputs": 1e-5, "gradnorm": 1e-4, "step_delta": 1e-4, "final_delta": 1e-3}
    tolerance = {**relative, "overrides": {}, "absolute": {}}
    base = {"method": "m", "variant": "loss", "seed": 1, "inputs": [], "parameters": [], "tolerance": tolerance}
    return Case(Path("some-case"), {**base, **spec}, expected)


def test_perturbed_expectation_fails() -> None:
    case = read_case(HERE / "dsanet-optim")
    wrong = {**case.expected, "a_after_3": case.expected["a_after_3"] * np.float32(1 + 1e-6)}
    result = check_case(dataclasses.replace(case, expected=wrong))
    assert not result.ok
    assert result.worst.output == "a_after_3"
    assert [error.output for error in result.errors if not error.ok] == ["a_after_3"]


def test_other_seed_fails() -> None:
    case = read_case(HERE / "deepmil-pool")
    assert not check_case(dataclasses.replace(case, spec={**case.spec, "seed": 2})).ok


def test_errors_are_relative_to_the_largest_value() -> None:
    case = _case({"x": np.array([1e-3, 10.0])})
    assert compare_outputs(case, Computed({"x": [1e-3 + 9e-5, 10.0]})).ok
    assert not compare_outputs(case, Computed({"x": [1e-3 + 2e-4, 10.0]})).ok


@pytest.mark.parametrize(
    ("ours", "reason"),
    [({}, "not computed"), ({"x": [1.0, np.nan]}, "NaN or infinite"), ({"x": [1.0]}, "shape [1], expected [2]")],
)
def test_what_cannot_be_compared_fails(ours: dict[str, list[float]], reason: str) -> None:
    result = compare_outputs(_case({"x": np.array([1.0, 2.0])}), Computed(ours))
    assert not result.ok
    worst = result.as_json()["worst"]
    assert worst == {"output": "x", "error": None, "tolerance": 1e-5, "reason": reason}


def test_gradients() -> None:
    case = _case({"total": np.array(1.0)}, expected_gradnorm={"w": 2.0, "dead": None})
    good = compare_outputs(case, Computed({"total": 1.0}, {"w": 2.0001}))
    assert good.ok
    assert good.worst_of("gradient") is not None
    assert good.worst_of("loss") is not None
    assert good.worst_of("forward") is None
    assert not compare_outputs(case, Computed({"total": 1.0}, {"w": 2.01})).ok
    assert not compare_outputs(case, Computed({"total": 1.0}, {})).ok
    assert not compare_outputs(case, Computed({"total": 1.0}, {"w": 2.0, "dead": 0.0})).ok


def test_changes_of_parameters() -> None:
    case = _case(
        {"total.step0": np.array(1.0), "lr.step0": np.array([1.0]), "buffer:b": np.array([1.0, 2.0])},
        variant="train-xd",
        expected_step1_delta_norm={"w": 2.0},
        expected_final_delta_norm={"w": 3.0, "b": 4.0},
    )
    outputs = {"total.step0": 1.0, "lr.step0": [1.0], "buffer:b": [1.0, 2.0]}
    good = compare_outputs(case, Computed(outputs, {}, {"w": 2.0}, {"w": 3.002, "b": 4.0}))
    assert good.ok
    assert good.as_json()["kind"] == "train"
    assert {each: good.worst_of(each) is None for each in ("forward", "loss", "gradient", "update")} == {
        **{"forward": True, "loss": False},
        **{"gradient": True, "update": False},
    }
    assert [
        e.output for e in compare_outputs(case, Computed(outputs, {}, {"w": 2.1}, {"w": 3.1})).errors if not e.ok
    ] == [*("step_delta/w", "final_delta/w", "final_delta/b")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("eval", "eval"), ("eval-clip512", "eval"), ("xd-loss", "loss"), ("rtfm-loss-mask", "loss")),
        *(("train-xd", "train"), ("dsanet-optim", "optim"), ("pool", "pool"), ("ucf", "eval"), ("", "eval")),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_overrides_and_absolute() -> None:
    tolerance = {
        "outputs": 1e-5,
        "gradnorm": 1e-4,
        "overrides": {"outputs/x": 0.1},
        "absolute": {"gradnorm/bias": 1e-6},
    }
    case = _case({"x": np.array(1.0)}, tolerance=tolerance, expected_gradnorm={"bias": 3e-8})
    assert compare_outputs(case, Computed({"x": 1.05}, {"bias": 9e-7})).ok
    assert not compare_outputs(case, Computed({"x": 1.2}, {"bias": 9e-7})).ok
    assert not compare_outputs(case, Computed({"x": 1.0}, {"bias": 2e-6})).ok


def test_draw_follows_the_rule() -> None:
    inputs = [
        {"name": "u", "shape": [3], "mean": 1.0, "std": 2.0, "transform": "uniform"},
        {"name": "l", "shape": [2, 4], "mean": 0.0, "std": 1.0, "transform": "l2"},
        {"name": "g.{t}", "shape": [2], "mean": 0.0, "std": "spread[t]", "transform": None},
        {"values": {"lengths": [1, 2]}},
    ]
    case = _case({"x": np.array(1.0)}, inputs=inputs)
    assert ((case.draw("u") >= 1) & (case.draw("u") <= 3)).all()
    np.testing.assert_allclose(np.linalg.norm(case.draw64("l"), axis=1), 1)
    np.testing.assert_allclose(case.draw64("g.1", std=3.0), 3 * case.draw64("g.1", std=1.0))
    assert not np.allclose(case.draw64("g.1", std=1.0), case.draw64("g.2", std=1.0))
    assert case.draw("u", shape=(5,)).shape == (5,)
    assert case.values == {"lengths": [1, 2]}
    assert set(case.inputs()) == {"u", "l"}
    with pytest.raises(UserError, match="no usable shape"):
        case.draw("g.1")
    with pytest.raises(UserError, match="describes no input"):
        case.draw("v")


def test_bad_cases(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_case(tmp_path)
    (tmp_path / "case.json").write_text("[]")
    with pytest.raises(UserError, match="it lacks method"):
        read_case(tmp_path)
    (tmp_path / "case.json").write_text((HERE / "deepmil-pool" / "case.json").read_text())
    with pytest.raises(UserError, match=r"expected.npz: no such file"):
        read_case(tmp_path)
    (tmp_path / "expected.npz").write_bytes(b"not a zip")
    with pytest.raises(UserError, match="not a readable npz"):
        read_case(tmp_path)


def test_unknown_method() -> None:
    with pytest.raises(UserError, match="no adapter for method 'm'"):
        check_case(_case({"x": np.array(1.0)}))


def test_unknown_kind() -> None:
    with pytest.raises(UserError, match="m has no cases of kind 'train'; it has those of eval, loss"):
        by_kind(eval=lambda case: {}, loss=lambda case: {})(_case({}, variant="train"))


def test_a_case_that_expects_nothing_is_one_line() -> None:
    with pytest.raises(UserError, match="expects nothing"):
        compare_outputs(_case({}), Computed({}))


def test_an_unknown_method_is_refused_before_anything_is_computed(
    tmp_path: Path, harness: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(HERE / "deepmil-pool", tmp_path / "a")
    shutil.copytree(HERE / "deepmil-pool", tmp_path / "b")
    content = json.loads((tmp_path / "b" / "case.json").read_text())
    (tmp_path / "b" / "case.json").write_text(json.dumps({**content, "method": "not-written-yet"}))
    monkeypatch.setattr("harness.parity.cases.compare_outputs", lambda *arguments: pytest.fail("computed"))
    code, _, err = harness("parity", str(tmp_path))
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "no adapter for method 'not-written-yet'" in err


def test_case_that_does_not_fit_is_one_line() -> None:
    case = read_case(HERE / "deepmil-pool")
    with pytest.raises(UserError, match="deepmil cannot compute it"):
        check_case(dataclasses.replace(case, spec={**case.spec, "config": {}}))
