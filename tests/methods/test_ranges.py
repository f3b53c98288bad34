"""Settings that make no sense are refused in one line, in every method; those that switch a part off are not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from pydantic import ValidationError

from harness.data.bank import Bank
from harness.errors import UserError
from harness.plugin.config import RANGES, MethodConfig, Range
from harness.records.request import Matrix
from harness.registry import method_class, method_names, setting_errors
from harness.runs.matrix import plan

Call = Callable[..., tuple[int, str, str]]
# By name: values that are refused, then what is said of them.
REFUSED = {
    **dict.fromkeys(("epochs", "batch", "steps_per_epoch", "segments", "length"), ((0, -1), "at least 1")),
    **dict.fromkeys(("topk_divisor", "heads", "hidden", "visual_length"), ((0, -3), "at least 1")),
    **dict.fromkeys(("lr", "online_lr", "temperature", "align_temperature"), ((0, -1.0), "greater than 0")),
    "weight_decay": ((-0.1,), "at least 0"),
    "look_first": ((-1,), "at least 0"),
    "warmup_steps": ((-1,), "greater than or equal to 0"),
    "average_last": ((1.5,), "less than or equal to 1"),
    **dict.fromkeys(("dropout", "select_dropout"), ((-0.5, 1, 2.0), "at least 0 and less than 1")),
}
NOT_FINITE = (math.nan, math.inf, -math.inf, "nan", "-inf")


def said(method: str, **setting: object) -> str:
    """The line that a setting of a method is refused with."""
    cls = method_class(method)
    with pytest.raises(UserError) as caught, setting_errors(cls, "--set", setting):
        cls.configure("", "paper", setting)
    return str(caught.value)


@pytest.mark.parametrize("method", method_names())
def test_what_makes_no_sense_is_one_line(method: str) -> None:
    for field, about in method_class(method).Config.model_fields.items():
        values, allowed = REFUSED.get(field, ((), ""))
        for value in values:
            line = said(method, **{field: value})
            assert line.startswith(f"--set {method}.{field}: Input should be {allowed}, got {value!r} (settings of ")
            assert "\n" not in line
        if about.annotation is float:
            for number in NOT_FINITE:
                assert f"{method}.{field}: Input should be a finite number, got {number!r}" in said(
                    method, **{field: number}
                )


@pytest.mark.parametrize("method", method_names())
def test_presets_and_ablations_are_valid_and_stay_so_when_they_are_read_again(method: str) -> None:
    cls = method_class(method)
    for family in ("", *cls.defaults):
        for preset in ("paper", *cls.presets):
            for off in ({}, *cls.ablations.values()):
                config = cls.configure(family, preset, off)
                assert cls.Config(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize("method", method_names())
def test_a_part_may_be_switched_off_by_nothing(method: str) -> None:
    fields = method_class(method).Config.model_fields
    for name, about in fields.items():
        weight = about.annotation is float and (name.endswith("_weight") or name in ("sparsity", "smooth"))
        if weight or name in ("warmup_steps", "average_last", "dropout", "select_dropout", "weight_decay"):
            assert getattr(method_class(method).configure("", "paper", {name: 0}), name) == 0


def test_every_range_is_of_a_setting_that_a_method_has() -> None:
    having = {name: [m for m in method_names() if name in method_class(m).Config.model_fields] for name in RANGES}
    assert {name for name, methods in having.items() if not methods} == set()


class Own(MethodConfig):
    ranges = MappingProxyType({**RANGES, "length": Range(0)})

    length: int = 0
    epochs: int = 3


class Senseless(MethodConfig):
    epochs: int = 0


def test_a_method_may_mean_something_else_by_a_name() -> None:
    assert Own().length == 0
    with pytest.raises(ValidationError, match="Input should be at least 1"):
        Own(epochs=0)
    with pytest.raises(ValidationError, match="Input should be at least 1"):
        Senseless()


@pytest.mark.parametrize(
    ("option", "word", "line"),
    [
        ("--set", "deepmil.epochs=0", "deepmil.epochs: Input should be at least 1, got 0"),
        ("--set", "deepmil.batch=-1", "deepmil.batch: Input should be at least 1, got -1"),
        ("--set", "deepmil.lr=nan", "deepmil.lr: Input should be a finite number, got 'nan'"),
        ("--set", "deepmil.lr=.inf", "deepmil.lr: Input should be a finite number, got inf"),
        ("--sweep", "deepmil.steps_per_epoch=3,0", "deepmil.steps_per_epoch: Input should be at least 1, got 0"),
    ],
)
def test_the_command_ends_in_that_line(
    option: str, word: str, line: str, harness: Call, demo: Bank, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    code, stdout, stderr = harness("run", "--methods", "deepmil", option, word, "--out", str(out), "--dry-run")
    assert (code, stdout) == (2, "")
    assert line in stderr.splitlines()[-1]
    assert not out.exists()


def test_a_matrix_file_is_no_other_way(demo: Bank, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"deepmil.lr: Input should be greater than 0, got -1"):
        plan(Matrix(methods=("deepmil",), set={"deepmil": {"lr": -1}}), tmp_path, threads=1)
