"""The shared check: our methods pass it, and each fault makes exactly the check fail that is there for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.check import CHECKS, check_method, run_checks
from harness.check.state import left_behind
from harness.errors import UserError
from harness.plugin import Batch, Method, MethodCard, Prediction, Reading, Sampling, Schedule, Task, TrainingPlan
from tests.tiny import Tiny, TinyConfig, task

SHORT = {"snippets": 5_000, "memory": 1 << 30}


class Sound(Tiny):
    """What the faulty methods below are made of; it passes."""

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        return Prediction(self.raw(features, lengths).sigmoid())

    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        return self.score(features).squeeze(-1)


class Windowed(Sound):
    """Windows, class probabilities and plain tensors that it moves itself."""

    def __init__(self, config: TinyConfig, task: Task) -> None:
        super().__init__(TinyConfig(window=16), task)
        self.cache = {"ids": [torch.arange(3)]}

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        assert features.shape[1] == 16
        scores = self.raw(features, lengths).sigmoid()
        return Prediction(scores, torch.stack([1 - scores, scores / 2, scores / 2], dim=2))


class Unbounded(Sound):
    card = MethodCard(name="tiny", title="Tiny", family="mil", bounded=False)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        return Prediction(5 * super().predict(features, lengths).scores)


class Narrow(Sound):
    card = MethodCard(name="tiny", title="Tiny", family="mil", feature_dims=(48,))


class Together(Sound):
    def sampling(self) -> Sampling:
        return Sampling("pairs", 4, 8, 3, crops="together", restart="never")

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.crops == 2
        return super().training_loss(batch)


class NoTraining(Sound):
    card = MethodCard(name="tiny", title="Tiny", family="mil", training="inference-only")

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        raise AssertionError("trained")


@pytest.mark.parametrize("cls", [Sound, Windowed, Unbounded, Narrow, Together, NoTraining])
def test_a_sound_method_passes(cls: type[Method]) -> None:
    outcomes = {o.check: o for o in run_checks(cls, **SHORT)}
    assert {o.status for o in outcomes.values()} <= {"ok", "skipped"}
    skipped = {name for name, o in outcomes.items() if o.status == "skipped"} - {"device"}
    assert skipped == ({"losses", "gradients"} if cls is NoTraining else set())


class WrongShape(Sound):
    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        return Prediction(super().predict(features, lengths).scores[..., None])


class FourClasses(Sound):
    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        return Prediction(super().predict(features, lengths).scores, torch.full((*features.shape[:2], 4), 0.25))


class ZeroByZero(Sound):
    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        return super().raw(features / features.norm(dim=2, keepdim=True), lengths)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        scores = super().predict(features, lengths).scores
        beyond = torch.arange(scores.shape[1]) >= lengths[:, None]
        return Prediction(scores.masked_fill(beyond, 0.0))


class AboveOne(Sound):
    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        return Prediction(2.5 * super().predict(features, lengths).scores)


class OpenSum(Sound):
    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        scores = super().predict(features, lengths).scores
        return Prediction(scores, torch.stack([1 - scores, scores, scores], dim=2) * 0.9)


class LooksAhead(Sound):
    def reading(self) -> Reading:
        return Reading(online=True)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        inside = torch.arange(features.shape[1])[None] < lengths[:, None]
        scores = super().predict(features, lengths).scores.masked_fill(~inside, 0)
        ahead = torch.nn.functional.pad(scores[:, 1:], (0, 1))
        return Prediction((scores + ahead) / 2)


class OneCrashes(Sound):
    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        if features.shape[1] < 2:
            raise RuntimeError("kernel larger than input")
        return super().raw(features, lengths)


class OneIsNaN(Sound):
    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits = super().raw(features, lengths)
        inside = torch.arange(logits.shape[1]) < lengths[:, None]
        mean = (logits * inside).sum(1) / lengths
        return logits / ((logits - mean[:, None]) * inside).square().sum(1, keepdim=True).div(lengths[:, None] - 1)


class PaddingLeaks(Sound):
    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits = super().raw(features, lengths)
        return logits - logits.mean(dim=1, keepdim=True)


class PaddingLeaksIntoClasses(Sound):
    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        scores = super().predict(features, lengths).scores
        probs = self.raw(features, lengths).softmax(dim=1)
        return Prediction(scores, torch.stack([1 - probs, probs / 2, probs / 2], dim=2))


class RowsLeak(Sound):
    """Batch normalisation that forgot to be in evaluation mode, in a method whose padding is sound."""

    def __init__(self, config: TinyConfig, task: Task) -> None:
        super().__init__(TinyConfig(window=32), task)

    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits = super().raw(features, lengths)
        return logits - logits.mean(dim=0, keepdim=True)


class NaNTerm(Sound):
    """Made for one width."""

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {k: term / 0 if self.task.dim < 100 else term for k, term in super().training_loss(batch).items()}


class Extra(Sound):
    """One more parameter; subclasses treat it badly."""

    def __init__(self, config: TinyConfig, task: Task) -> None:
        super().__init__(config, task)
        self.extra = nn.Parameter(torch.ones(2))


class NoGradient(Extra):
    pass


class ZeroGradient(Extra):
    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        return super().training_loss(batch) | {"nothing": 0 * self.extra.sum()}


class NoOptimizer(Extra):
    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        return super().training_loss(batch) | {"decay": self.extra.square().sum()}

    def schedules(self, plan: TrainingPlan) -> list[Schedule]:
        return [Schedule(torch.optim.Adam(self.score.parameters(), lr=0.05))]


class Unseeded(Sound):
    def __init__(self, config: TinyConfig, task: Task) -> None:
        super().__init__(config, task)
        generator = torch.Generator()
        generator.seed()
        nn.init.normal_(self.score.weight, std=0.1, generator=generator)


class UnseededTraining(Sound):
    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        generator = torch.Generator()
        generator.seed()
        return {k: term * torch.rand((), generator=generator) for k, term in super().training_loss(batch).items()}


class PredictLearns(Sound):
    def __init__(self, config: TinyConfig, task: Task) -> None:
        super().__init__(config, task)
        self.register_buffer("seen", torch.zeros(()))

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        self.seen += len(features)
        return super().predict(features, lengths)


class NotSaved(Sound):
    def __init__(self, config: TinyConfig, task: Task) -> None:
        super().__init__(config, task)
        self.shift = torch.rand(())

    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        return super().raw(features, lengths) + self.shift


class PreparedNotSaved(Sound):
    shift = 0.0

    def prepare(self, videos: object) -> None:
        self.shift = 0.5

    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        return super().raw(features, lengths) + self.shift


def _while_predicting(change: Callable[[], object]) -> type[Method]:
    class Changes(Sound):
        def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
            scores = super().predict(features, lengths)
            change()
            return scores

    return Changes


class SeedsItself(Sound):
    def __init__(self, config: TinyConfig, task: Task) -> None:
        torch.manual_seed(task.dim)
        super().__init__(config, task)
        nn.init.zeros_(self.score.weight)


class NumpyTraining(Sound):
    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        np.random.get_bit_generator().random_raw()
        return super().training_loss(batch)


class Square(Sound):
    """Everything against everything, eight times."""

    def raw(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits = super().raw(features, lengths)
        pairs = (logits[:, :, None, None] - logits[:, None, :, None]).abs() + torch.arange(8)
        inside = torch.arange(logits.shape[1]) < lengths[:, None]
        return (pairs.amin(dim=3) * inside[:, None]).amax(dim=2)


FAULTS = {
    "scores [B, T, 1]": (WrongShape, "shapes", r"scores are \[1, 7, 1\] of features \[1, 7, 512\], expected \[1, 7\]"),
    "a class too many": (FourClasses, "shapes", r"class_probs are \[1, 7, 4\]"),
    "0/0 of zero features": (ZeroByZero, "ranges", "scores of all-zero features are NaN"),
    "scores above 1": (AboveOne, "ranges", r"scores of random features lie in \[.*, 2\.\d+\]"),
    "probabilities that do not sum to 1": (OpenSum, "ranges", "sum to 1 only within"),
    "T = 1 crashes": (OneCrashes, "one-snippet", "RuntimeError: kernel larger than input"),
    "T = 1 is NaN": (OneIsNaN, "one-snippet", "single snippet is NaN"),
    "padding leaks into scores": (PaddingLeaks, "batch", "scores of 5 snippets differ"),
    "padding leaks into classes": (PaddingLeaksIntoClasses, "batch", "class_probs of 5 snippets differ"),
    "other rows leak": (RowsLeak, "batch", "scores of 5 snippets differ"),
    "what follows leaks into scores": (LooksAhead, "online", "once others follow"),
    "a term that is NaN": (NaNTerm, "losses", "loss term .* is not finite"),
    "a parameter without gradient": (NoGradient, "gradients", "no gradient in 5 steps: extra"),
    "a parameter with gradient zero": (ZeroGradient, "gradients", "no gradient in 5 steps: extra"),
    "a parameter in no optimizer": (NoOptimizer, "gradients", "not in exactly one optimizer: extra"),
    "unseeded weights": (Unseeded, "determinism", "initial weights differ"),
    "unseeded losses": (UnseededTraining, "determinism", "loss terms differ"),
    "predict changes a buffer": (PredictLearns, "determinism", "predict changes the method's state"),
    "a tensor outside the state": (NotSaved, "save-load", "not in saved_state"),
    "statistics outside the state": (PreparedNotSaved, "save-load", "not in saved_state"),
    "building seeds": (SeedsItself, "global-state", "building it seeds torch's global generator"),
    "training draws from NumPy": (NumpyTraining, "global-state", "training changes the state of NumPy's"),
    "T x T memory": (Square, "long-video", r"GiB for up to \d,\d00 snippets; 5,000 may take 0.25 GiB"),
} | {
    f"predict changes {what}": (_while_predicting(change), "global-state", f"predict changes {what}")
    for what, change in {
        "the state of torch's global generator": lambda: torch.rand(1),
        "the state of NumPy's global generator": lambda: np.random.get_bit_generator().random_raw(),
        "the state of Python's random": random.random,
        "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
        "torch's default device": lambda: torch.set_default_device("meta"),
        "torch's number of threads": lambda: torch.set_num_threads(1),
        "torch's grad mode": lambda: torch.set_grad_enabled(True),
        "torch's deterministic mode": lambda: torch.use_deterministic_algorithms(False),
        "torch's matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    }.items()
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_check_and_no_other(fault: str) -> None:
    cls, check, reason = FAULTS[fault]
    with pytest.raises(AssertionError, match=reason) as caught:
        check_method(cls, snippets=5_000, memory=1 << 28)
    failed = [line.partition(":")[0] for line in str(caught.value).splitlines()[1:]]
    assert failed == [check]


def test_every_check_has_a_fault() -> None:
    assert {check for _, check, _ in FAULTS.values()} == set(CHECKS) - {"device", "types"}


def test_what_a_move_leaves_behind_is_named() -> None:
    assert left_behind(Windowed(TinyConfig(), task())) == ["cache"]
    assert left_behind(NotSaved(TinyConfig(), task())) == ["shift"]
    assert left_behind(Extra(TinyConfig(), task())) == []


def test_the_process_is_left_as_it_was() -> None:
    def state() -> list[object]:
        mode = (torch.get_deterministic_debug_mode(), torch.get_num_threads(), torch.get_default_dtype())
        return [random.getstate(), torch.get_rng_state().tolist(), *mode]

    before = state()
    list(run_checks(_while_predicting(lambda: torch.set_default_dtype(torch.float64)), **SHORT))
    list(run_checks(NumpyTraining, **SHORT))
    assert state() == before


def test_some_checks_only() -> None:
    assert [o.check for o in run_checks(Sound, ["batch", "shapes"])] == ["batch", "shapes"]
    with pytest.raises(UserError, match="unknown check 'shape'"):
        check_method(Sound, ["shape"])


def test_the_verb(harness: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    code, stdout, _ = harness("check-method", "feature-norm", "--json")
    found = json.loads(stdout)
    assert code == 0
    assert (found["method"], found["ok"]) == ("feature-norm", True)
    assert [row["check"] for row in found["checks"]] == list(CHECKS)
    assert {row["status"] for row in found["checks"]} == {"ok", "skipped"}
    monkeypatch.setattr("harness.methods.feature_norm.FeatureNorm.predict", AboveOne.predict)
    code, stdout, stderr = harness("check-method", "feature-norm")
    assert code == 1
    assert stdout.splitlines()[0].split()[:2] == ["failed", "types"]
    assert "Traceback" not in stderr
