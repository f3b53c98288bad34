"""Training cases catch what they are for: another rate, decay, schedule, clipping, or another step of the loop."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from harness.methods.deepmil import DeepMIL
from harness.parity.cases import Case, CaseResult, check_case, read_case
from harness.plugin import Method, Schedule, TrainingPlan
from harness.registry import method_class

HERE = Path(__file__).parent


def _failed(result: CaseResult) -> list[str]:
    return [error.output for error in result.errors if not error.ok]


def _check(method: str, **config: Any) -> CaseResult:
    """Outcome of the committed case of a method; `config` replaces parts of what the case says."""
    case = read_case(HERE / f"{method}-train")
    return check_case(dataclasses.replace(case, spec={**case.spec, "config": {**case.config, **config}}))


@pytest.mark.parametrize(
    ("method", "settings", "first"),
    [
        ("hlnet", {"lr": 1.01e-4}, "lr.step0"),
        ("hlnet", {"online_lr": 1e-4}, "lr.step0"),
        ("hlnet", {"decay_epoch": 11}, "lr.step4"),
        ("hlnet", {"decay_epoch": 9}, "lr.step3"),
        ("deepmil", {"weight_decay": 0.0}, "moved.step0"),
        ("deepmil", {"decay_every": 11}, "lr.step3"),
        ("bnwvad", {"clip_norm": 2.0}, "moved.step0"),
    ],
)
def test_another_setting_of_the_paper_preset_fails(
    method: str, settings: dict[str, Any], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = method_class(method)
    monkeypatch.setattr(cls, "presets", {**cls.presets, "paper": settings})
    result = _check(method)
    order = [name for step in range(6) for name in (f"lr.step{step}", f"moved.step{step}")]
    assert next(name for name in order if name in _failed(result)) == first


def test_a_scheduler_in_the_usual_order_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official code steps the scheduler before each epoch, one epoch ahead of everyone else."""

    def usual(method: Method, plan: TrainingPlan) -> list[Schedule]:
        adam = torch.optim.Adam(method.parameters(), lr=5e-5, weight_decay=5e-5)
        return [Schedule(adam, StepLR(adam, 10, 0.5), "epoch")]

    monkeypatch.setattr(DeepMIL, "schedules", usual)
    failed = _failed(_check("deepmil"))
    assert [name for name in failed if name.startswith("lr.")] == ["lr.step3", "lr.step5"]


def test_decoupled_weight_decay_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.methods.deepmil.Adam", torch.optim.AdamW)
    assert "moved.step0" in _failed(_check("deepmil"))


@pytest.mark.parametrize(
    ("method", "target", "stand_in"),
    [
        ("bnwvad", "torch.nn.utils.clip_grad_norm_", lambda parameters, norm: None),
        ("bnwvad", "torch.nn.utils.clip_grad_norm_", partial(torch.nn.utils.clip_grad_norm_, norm_type=1.0)),
        ("hlnet", "harness.methods.parity.training.end_epoch", lambda schedules: None),
    ],
)
def test_another_step_of_the_loop_fails(
    method: str, target: str, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, stand_in)
    assert "moved.step5" in _failed(_check(method))


def test_another_epoch_of_a_step_fails() -> None:
    said = read_case(HERE / "hlnet-train").config["train"]
    failed = _failed(_check("hlnet", train={**said, "epoch_of_step": [0, 0, 1, 8, 8, 20]}))
    assert [name for name in failed if name.startswith("lr.")] == ["lr.step4"]


def test_other_sizes_of_a_case_are_computed() -> None:
    """Steps, batch and length are the case's; only what is expected no longer fits."""
    case = read_case(HERE / "hlnet-train")

    def smaller(entry: dict[str, Any]) -> dict[str, Any]:
        if "values" in entry:
            lengths = [[min(length, 20) for length in step[:2]] for step in case.values["pad_lengths"][:3]]
            return {"values": {"pad_lengths": lengths, "label": [step[:2] for step in case.values["label"][:3]]}}
        return {**entry, "shape": [2, 20, 1152]} if entry["name"].startswith("x.") else entry

    config = {**case.config, "train": {**case.config["train"], "epoch_of_step": [0, 5, 30]}}
    spec = {**case.spec, "config": config, "inputs": [smaller(entry) for entry in case.spec["inputs"]]}
    kept = {name: value for name, value in case.expected.items() if name.startswith(("lr.", "test"))}
    result = check_case(Case(case.path, spec, kept))
    reasons = {error.output: error.reason for error in result.errors if error.reason}
    assert reasons == {f"lr.step{step}": "not computed" for step in (3, 4, 5)}
    assert [e.ok for e in result.errors if e.output in ("lr.step0", "lr.step1", "lr.step2")] == [True, True, False]
