"""A method that answers with a wrong type is told who, what must be, and what is: by its check and by ordinary runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.check import check_method, run_checks
from harness.errors import BrokenMethod, UserError
from harness.plugin import Batch, Method, Prediction, Sampling, Schedule, TrainingPlan
from harness.records.alignment import Alignment
from harness.training.loop import train
from harness.training.predict import predict
from harness.training.sampling import Batches
from harness.training.selection import Selector
from tests.check.test_checks import FourClasses, Sound, WrongShape
from tests.tiny import split, task


class OpenTerm(Sound):
    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {name: term[None] for name, term in super().training_loss(batch).items()}


class LossTensor(Sound):
    def training_loss(self, batch: Batch) -> Any:
        return sum(super().training_loss(batch).values())


class PlainTerm(Sound):
    def training_loss(self, batch: Batch) -> Any:
        return super().training_loss(batch) | {"none": 0.0}


class NoTerm(Sound):
    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {}


class BareOptimizer(Sound):
    def schedules(self, plan: TrainingPlan) -> Any:
        return torch.optim.Adam(self.parameters())


class Optimizers(Sound):
    def schedules(self, plan: TrainingPlan) -> Any:
        return [torch.optim.Adam(self.parameters())]


class OneSchedule(Sound):
    def schedules(self, plan: TrainingPlan) -> Any:
        return super().schedules(plan)[0]


class NoOptimizerInside(Sound):
    def schedules(self, plan: TrainingPlan) -> Any:
        return [Schedule(self.parameters())]


class ScoresAlone(Sound):
    def predict(self, features: Tensor, lengths: Tensor) -> Any:
        return super().predict(features, lengths).scores


class NumpyScores(Sound):
    def predict(self, features: Tensor, lengths: Tensor) -> Any:
        return Prediction(super().predict(features, lengths).scores.numpy())


class PlainSampling(Sound):
    def sampling(self) -> Any:
        return {"mode": "pairs", "batch": 4}


class PairSampling(Sound):
    def sampling(self) -> Sampling:
        return Sampling("pair", 4, 8, 3)


class FractionalBatch(Sound):
    def sampling(self) -> Sampling:
        return Sampling("pairs", 4 / 2, 8, 3)


class WindowAlone(Sound):
    def reading(self) -> Any:
        return 16


class LooksAlone(Sound):
    def looks(self) -> Any:
        return 5


class StateOfModules(Sound):
    def saved_state(self) -> Any:
        return dict(self.named_modules())


class PlainConfig(Sound):
    @classmethod
    def configure(cls, family: str, preset: str, overrides: object) -> Any:
        return {"window": None}


FAULTS = {
    "a term that is no scalar": (OpenTerm, r"got a tensor of shape \[1\] as term 'bce'"),
    "a loss that is one tensor": (
        LossTensor,
        r"training_loss must give a dict of 0-d tensors by name, one or more; got a tensor of shape \[\]",
    ),
    "a term that is a number": (PlainTerm, "got 0.0 as term 'none'"),
    "no term": (NoTerm, "one or more; got an empty dict"),
    "an optimizer as schedules": (
        BareOptimizer,
        "schedules must give a list of Schedule, one or more; got an Adam",
    ),
    "optimizers as schedules": (Optimizers, "got a list of Adam"),
    "one schedule": (OneSchedule, "one or more; got a Schedule"),
    "a schedule without optimizer": (
        NoOptimizerInside,
        r"a torch optimizer in Schedule.optimizer; got a generator",
    ),
    "scores alone": (ScoresAlone, r"predict must give a Prediction; got a tensor of shape \[1, 7\]"),
    "scores of NumPy": (NumpyScores, r"a tensor in Prediction.scores; got a ndarray"),
    "a dict as sampling": (PlainSampling, "sampling must give a Sampling; got a dict of str"),
    "an unknown mode of sampling": (PairSampling, "'pairs' or 'mixed' in Sampling.mode; got 'pair'"),
    "half a video": (FractionalBatch, "a valid integer in Sampling.batch; got 2.0"),
    "a number as reading": (WindowAlone, "reading must give a Reading; got 16"),
    "a number as looks": (LooksAlone, "looks must give a Looks; got 5"),
    "modules as saved state": (
        StateOfModules,
        "saved_state must give a dict of tensors by name; got a StateOfModules as ''",
    ),
    "a dict as config": (PlainConfig, "configure must give a MethodConfig; got a dict"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_type_fails_the_first_check(fault: str) -> None:
    cls, reason = FAULTS[fault]
    with pytest.raises(AssertionError, match=reason) as caught:
        check_method(cls)
    failed = [line.partition(":")[0] for line in str(caught.value).splitlines()[1:]]
    assert failed == ["types"]


def test_what_answers_with_wrong_types_is_asked_nothing_else() -> None:
    outcomes = list(run_checks(LossTensor))
    assert [o.check for o in outcomes if o.status == "failed"] == ["types"]
    assert {(o.status, o.reason) for o in outcomes[1:]} == {("skipped", "types failed")}
    assert [o.status for o in run_checks(LossTensor, ["shapes", "losses"])] == ["ok", "failed"]


@pytest.mark.parametrize(
    ("cls", "reason"),
    [(LossTensor, "training_loss must give a dict"), (BareOptimizer, "got an Adam"), (OpenTerm, "as term 'bce'")],
)
def test_an_ordinary_training_says_the_same(cls: type[Method], reason: str) -> None:
    videos = split([9] * 8)
    method = cls(cls.Config(), task())
    batches = Batches(videos, np.arange(8), method.sampling(), 0, "tiny-set")
    with pytest.raises(BrokenMethod, match=reason) as caught:
        train(method, batches, Selector("last", method.looks(), None, ""))
    assert str(caught.value).startswith("tiny: ")


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (ScoresAlone, r"predict must give a Prediction; got a tensor of shape \[\d, 9\]"),
        (WrongShape, r"scores \[B, T\] of shape \[(\d), 9\]; got \[\1, 9, 1\]"),
        (FourClasses, r"class_probs \[B, T, K\] of shape \[(\d), 9, 2\]; got \[\1, 9, 4\]"),
        (WindowAlone, "reading must give a Reading; got 16"),
    ],
)
def test_an_ordinary_prediction_says_the_same(cls: type[Method], reason: str) -> None:
    with pytest.raises(BrokenMethod, match=reason):
        predict(cls(cls.Config(), task()), split([9] * 8), Alignment(kind="stride"))


def test_a_class_without_a_card_or_presets_that_are_wrong() -> None:
    class Bare(Method):
        pass

    class Wrong(Sound):
        presets = {"fast": 3}

    for cls, reason in (
        (Bare, "`card` must be a MethodCard"),
        (Wrong, "`presets` must map"),
        (int, "must be a subclass"),
    ):
        with pytest.raises(BrokenMethod, match=f"{cls.__name__}: {reason}"):
            check_method(cls)


def test_a_method_without_presets_has_every_preset() -> None:
    assert [o.status for o in run_checks(Sound, ["types"], preset="thorough")] == ["ok"]

    class Quick(Sound):
        presets = {"quick": {}}

    assert [o.status for o in run_checks(Quick, ["types"], preset="quick")] == ["ok"]
    with pytest.raises(UserError, match="method tiny has no preset 'thorough'; it has paper, quick"):
        check_method(Quick, ["types"], preset="thorough")
