"""The training loop: bits, resuming, looking, divergence."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.errors import Diverged, UserError
from harness.plugin import Looks, Method, Schedule
from harness.training.averaging import Average
from harness.training.loop import train
from harness.training.sampling import Batches
from harness.training.selection import Selector
from tests.tiny import Tiny, TinyConfig, split, task


def _new(seed: int = 0, **settings: object) -> tuple[Tiny, Batches]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = Tiny(TinyConfig(**settings), task())
    batches = Batches(split([9] * 24), np.arange(24), method.sampling(), seed, "tiny-set")
    return method, batches


def _last() -> Selector:
    return Selector("last", Looks(), None, "")


def _state(method: Method) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in method.saved_state().items()}


def _assert_equal(one: Method, other: Method) -> None:
    for name, value in _state(one).items():
        np.testing.assert_array_equal(value, _state(other)[name])


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    one, two, other = _new(0), _new(0), _new(1)
    for method, batches in (one, two, other):
        train(method, batches, _last())
    _assert_equal(one[0], two[0])
    assert (_state(one[0])["score.weight"] != _state(other[0])["score.weight"]).any()


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("rule", "average"), [("last", 0.0), ("oracle", 0.0), ("paper", 0.0), ("last", 0.9), ("oracle", 0.9)]
)
def test_resuming_gives_the_bits_of_the_uninterrupted_training(rule: str, average: float, tmp_path: Path) -> None:
    def selector(calls: list[int]) -> Selector:
        # Rises, falls and rises again, so that the best point lies before the interruption.
        values = [0.3, 0.9, 0.4, 0.5, 0.2, 0.1, 0.6, 0.7, 0.8]

        def evaluate(method: Method) -> float:
            torch.rand(3)  # an evaluation that draws must not disturb the training
            calls.append(1)
            return values[len(calls) - 1]

        return _last() if rule == "last" else Selector(rule, Looks(2, 1), evaluate, "test")  # type: ignore[arg-type]

    whole, batches = _new(average_last=average)
    calls: list[int] = []
    reference = selector(calls)
    records = train(whole, batches, reference)
    cut, batches = _new(average_last=average)
    checkpoint = tmp_path / "resume.pt"
    calls = []

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise Stop

    with pytest.raises(Stop):
        train(cut, batches, selector(calls), checkpoint=checkpoint, progress=interrupt)
    resumed, batches = _new(average_last=average)
    del calls[2:]  # two looks in the finished epoch; those of the one cut off are taken again
    continued = selector(calls)
    again = train(resumed, batches, continued, checkpoint=checkpoint)
    assert [record["loss"] for record in again] == [record["loss"] for record in records]
    _assert_equal(whole, resumed)
    assert continued.history == reference.history


def test_the_global_generator_is_left_as_it_was() -> None:
    method, batches = _new()
    before = torch.get_rng_state()
    train(method, batches, _last())
    assert torch.equal(before, torch.get_rng_state())


def test_divergence_that_the_loss_function_refuses_is_divergence() -> None:
    method, batches = _new()
    with torch.no_grad():
        method.score.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match=r"tiny diverged at step 1: a score is NaN; .* mean norm about 1"):
        train(method, batches, _last())


def test_divergence_names_step_and_term() -> None:
    method, batches = _new(break_at=4)
    with pytest.raises(Diverged, match=r"tiny diverged at step 4: loss term size .* norm .* mean norm about 1"):
        train(method, batches, _last())


def test_an_infinite_gradient_names_its_term_before_it_reaches_the_weights() -> None:
    method, batches = _new(break_at=2, break_gradient=True)
    with pytest.raises(Diverged, match="step 2: the gradient of loss term root"):
        train(method, batches, _last())
    assert torch.isfinite(method.score.weight).all()


def _flipped(whole: bytes, place: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda whole: b"", lambda whole: b"not a checkpoint", lambda whole: whole[: len(whole) // 2]),
        *(lambda whole: whole[:-1], lambda whole: _flipped(whole, 0), lambda whole: _flipped(whole, len(whole) // 2)),
        lambda whole: _flipped(whole, len(whole) - 1),
    ],
    ids=["empty", "text", "half", "one byte short", "first bit", "a bit in the middle", "last bit"],
)
def test_a_damaged_checkpoint_is_told_and_put_aside_and_training_starts_anew(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "resume.pt"
    whole, batches = _new()
    train(whole, batches, _last(), checkpoint=path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    anew, batches = _new()
    records = train(anew, batches, _last(), checkpoint=path)
    (told,) = caplog.messages
    assert re.search(r"resume\.pt: damaged \(its hash is .*put aside as resume\.damaged; .* anew", told)
    assert path.with_suffix(".damaged").read_bytes() == damaged
    assert [record["epoch"] for record in records] == list(range(1, len(records) + 1))
    _assert_equal(whole, anew)


def test_a_checkpoint_of_another_training_fails_once(tmp_path: Path) -> None:
    path = tmp_path / "resume.pt"
    content = io.BytesIO()
    torch.save({"method": {"other": torch.zeros(2)}}, content)
    path.write_bytes(content.getvalue() + hashlib.sha256(content.getvalue()).digest())
    with pytest.raises(UserError, match=r"resume\.pt: not of this training .* next attempt starts anew"):
        train(*_new(), _last(), checkpoint=path)
    anew, whole = _new(), _new()
    train(*anew, _last(), checkpoint=path)
    train(*whole, _last())
    _assert_equal(anew[0], whole[0])


def test_oracle_keeps_the_best_look_and_reports_its_gap() -> None:
    method, batches = _new()
    seen: list[np.ndarray] = []
    values = iter([0.2, 0.9, 0.5, 0.4, 0.3, 0.3, 0.25])

    def evaluate(model: Method) -> float:
        seen.append(_state(model)["score.weight"].copy())
        return next(values)

    selector = Selector("oracle", Looks(2, 1), evaluate, "test frame_auc")
    records = train(method, batches, selector)
    chosen = selector.finish(method, records[-1]["step"])
    assert (chosen.step, chosen.value, chosen.looks) == (3, 0.9, 6)
    assert chosen.gap == pytest.approx(0.9 - 0.25)
    np.testing.assert_array_equal(_state(method)["score.weight"], seen[1])


def _weights_after_each_step(**settings: object) -> tuple[list[np.ndarray], np.ndarray]:
    """The weights after every step of a training, and those that it ends with."""
    method, batches = _new(**settings)
    seen: list[np.ndarray] = []
    train(method, batches, _last(), progress=lambda done, total: seen.append(_state(method)["score.weight"].copy()))
    return seen, _state(method)["score.weight"]


def test_an_average_is_the_mean_of_the_last_steps_and_changes_none_of_them() -> None:
    plain, last = _weights_after_each_step()
    seen, mean = _weights_after_each_step(average_last=0.5)
    np.testing.assert_array_equal(plain, seen)
    np.testing.assert_array_equal(last, plain[-1])
    # Half of nine steps, rounded to an even number.
    np.testing.assert_allclose(mean, np.mean(seen[-4:], axis=0), rtol=1e-6)
    assert (mean != last).any()


def test_rates_rise_in_a_line_over_the_warm_up_and_schedules_see_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method, batches = _new(warmup_steps=3)
    rates: list[float] = []

    class Watched(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            rates.append(self.param_groups[0]["lr"])
            super().step()

    optimizer = Watched(method.parameters(), lr=0.8)
    schedule = Schedule(optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5))
    monkeypatch.setattr(method, "schedules", lambda plan: [schedule])
    records = train(method, batches, _last())
    assert rates == pytest.approx([0.2, 0.4, 0.6, *[0.8] * 3, *[0.4] * 3])
    assert [record["lr"] for record in records] == [[0.8], [0.8], [0.4]]


def test_looks_see_the_average_and_keep_it() -> None:
    steps, _ = _weights_after_each_step()
    method, batches = _new(average_last=0.5)
    seen: list[np.ndarray] = []

    def evaluate(model: Method) -> float:
        seen.append(_state(model)["score.weight"].copy())
        return {7: 0.9}.get(len(seen), 0.1)

    selector = Selector("oracle", Looks(1, 1), evaluate, "test")
    records = train(method, batches, selector)
    np.testing.assert_array_equal(seen[:5], steps[:5])
    for number in range(6, 9):
        np.testing.assert_allclose(seen[number], np.mean(steps[5 : number + 1], axis=0), rtol=1e-6)
    assert selector.finish(method, records[-1]["step"]).step == 7
    np.testing.assert_array_equal(_state(method)["score.weight"], seen[6])


def test_running_statistics_are_averaged_and_counters_are_not() -> None:
    method, _ = _new()
    method.norm = torch.nn.BatchNorm1d(2)
    average = Average(1.0, 2)
    for step in (1, 2):
        method.norm(torch.tensor([[0.0, 4.0], [2.0, 8.0]]) * step)
        average.after_step(method, step)
    average.put(method)
    np.testing.assert_allclose(method.norm.running_mean, [(0.1 + 0.29) / 2, (0.6 + 1.74) / 2], rtol=1e-6)
    assert int(method.norm.num_batches_tracked) == 2


def test_paper_goes_on_from_the_best_weights() -> None:
    scores = [0.9, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1]
    ends: list[np.ndarray] = []
    for rule in ("oracle", "paper"):
        method, batches = _new()
        values = iter(scores)
        train(method, batches, Selector(rule, Looks(2, 1), lambda model, v=values: next(v), "test"))  # type: ignore
        ends.append(_state(method)["score.weight"])
    assert (ends[0] != ends[1]).any()


def test_short_epochs_are_looked_at_once_at_their_end() -> None:
    method, batches = _new()
    selector = Selector("oracle", Looks(every=10, first=11), lambda model: 0.5, "test")
    train(method, batches, selector)
    assert [look["step"] for look in selector.history] == [3, 6, 9]


def test_looks_can_count_from_the_start_of_the_training() -> None:
    method, batches = _new()
    selector = Selector("oracle", Looks(every=2, first=4, over="training"), lambda model: 0.5, "test")
    train(method, batches, selector)
    assert [look["step"] for look in selector.history] == [4, 6, 8]


def test_the_first_epochs_may_be_left_out_of_looks() -> None:
    method, batches = _new()
    selector = Selector("oracle", Looks(every=2, first=1, skip=2), lambda model: 0.5, "test")
    train(method, batches, selector)
    assert [look["step"] for look in selector.history] == [7, 9]


def test_a_look_at_an_epochs_end_sees_what_a_schedule_did_to_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batches = _new()

    class Counting(torch.optim.lr_scheduler.StepLR):
        @torch.no_grad()
        def step(self, epoch: int | None = None) -> None:
            super().step()
            method.score.bias.fill_(self.last_epoch)

    optimizer = torch.optim.SGD(method.parameters(), lr=0.5)
    monkeypatch.setattr(method, "schedules", lambda plan: [Schedule(optimizer, Counting(optimizer, 1, 0.5))])
    looks = Selector("oracle", Looks(), lambda model: model.score.bias.item(), "test")
    records = train(method, batches, looks)
    assert [look["value"] for look in looks.history] == [1, 2, 3]
    assert [record["lr"] for record in records] == [[0.5], [0.25], [0.125]]


def test_gradients_are_clipped_to_the_norm_that_the_schedule_names(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batches = _new(epochs=1)
    norms: list[float] = []

    class Watched(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in method.parameters()])))
            super().step()

    optimizer = Watched(method.parameters(), lr=0.0)
    monkeypatch.setattr(method, "schedules", lambda plan: [Schedule(optimizer, clip_norm=0.01)])
    train(method, batches, _last())
    assert norms == pytest.approx([0.01] * 3, rel=1e-3)
