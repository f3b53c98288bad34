"""GlanceVAD: growth of events and Gaussians by hand, its losses, its steps, and who gets to see clicks at all."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.data.bank import Bank
from harness.data.cards import find_card
from harness.errors import Unsupported
from harness.methods.glancevad import GlanceVAD, mined, splatted
from harness.methods.urdmu import URDMU
from harness.plugin import Batch, Method, Task, TrainingPlan
from harness.records.request import Matrix
from harness.runs.computation import build_method, compute_trial, task_of
from harness.runs.matrix import plan
from harness.runs.method_side import spec_of
from harness.runs.order import job_of
from harness.training.loop import train
from harness.training.sampling import Batches
from harness.training.selection import Selector
from harness.weights.checkpoints import build_for_weights
from tests.tiny import split

SMALL = {"hidden": 8, "attention_width": 8, "feedforward": 6, "head_width": 4, "heads": 2, "dropout": 0.0}


def _task(glances: bool = True) -> Task:
    return Task("t", ("normal", "riot"), ("", ""), 5, glances=glances)


def _model(**settings: Any) -> GlanceVAD:
    torch.manual_seed(0)
    return GlanceVAD(GlanceVAD.Config(**{**SMALL, **settings}), _task())


def _batch(length: int = 40) -> Batch:
    torch.manual_seed(1)
    labels = torch.tensor([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 2)
    clicks = torch.zeros(4, length)
    clicks[2, 3] = clicks[3, 20] = clicks[3, 30] = 1
    return Batch(torch.randn(4, length, 5), torch.full((4,), length), labels, 2, clicks=clicks)


def _grown(clicks: list[int], scores: list[float], share: float) -> list[int]:
    """The growth step by step, as the specification tells it."""
    found, last = set(clicks), len(scores) - 1

    def walk(start: int, stop: int, step: int, least: float) -> None:
        for place in range(start, stop, step):
            if scores[place] < least:
                return
            found.add(place)

    if not clicks:
        return []
    walk(clicks[0] - 1, -1, -1, share * scores[clicks[0]])
    walk(clicks[-1] + 1, last, 1, share * scores[clicks[-1]])
    for left, right in itertools.pairwise(clicks):
        walk(left + 1, right, 1, share * scores[left])
        walk(right - 1, left, -1, share * scores[right])
    return sorted(found)


def test_events_grow_as_walks_from_their_clicks() -> None:
    rng = np.random.default_rng(0)
    for trial in range(300):
        length = int(rng.integers(1, 15))
        scores = np.round(rng.uniform(0.5, 1, length), 2).astype(np.float32) if trial % 3 else np.ones(length, "f4")
        clicks = sorted(rng.choice(length, int(rng.integers(0, min(length, 4) + 1)), replace=False).tolist())
        marked = torch.zeros(1, length)
        marked[0, clicks] = 1
        found = mined(marked, torch.from_numpy(scores)[None], 0.9)[0].nonzero().flatten().tolist()
        assert found == _grown(clicks, (scores.astype(np.float64)).tolist(), 0.9), (clicks, scores)


def test_the_last_segment_is_reached_by_nobody() -> None:
    clicks, scores = torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 1]]), torch.ones(2, 4)
    assert mined(clicks, scores, 0.9).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("spread", [0.1, 0.6])
def test_the_highest_gaussian_counts_and_reaches_from_0_to_1(spread: float) -> None:
    events = torch.zeros(3, 30)
    events[0, [4, 20]] = events[1, 0] = 1
    found = splatted(events, spread)
    for row, centres in enumerate([[4, 20], [0]]):
        rows = []
        for centre in centres:
            curve = torch.tensor([math.exp(-((2 * (i - centre) / 29) ** 2) / (2 * spread**2)) for i in range(30)])
            rows.append((curve - curve.min()) / (curve.max() - curve.min()))
        highest = torch.stack(rows).amax(dim=0)
        expected = (highest - highest.min()) / (highest.max() - highest.min())
        torch.testing.assert_close(found[row], expected)
    assert not found[2].any()


def test_a_video_that_is_all_event_is_1_throughout() -> None:
    assert splatted(torch.ones(1, 9), 0.1).tolist() == [[1.0] * 9]
    assert splatted(torch.tensor([[1.0], [0.0]]), 0.1).tolist() == [[1.0], [0.0]]


def test_terms_are_urdmus_but_for_the_classification() -> None:
    model, batch = _model(sampled="none"), _batch()
    out = model(batch.features, batch.lengths, 2)
    terms, own = model.terms(out, batch), URDMU.terms(model, out, batch)
    assert all(torch.equal(terms[name], own[name]) for name in own if name != "classification")
    torch.testing.assert_close((terms["normal"] + terms["abnormal"]) / 2, own["classification"])
    target = splatted(batch.clicks[2:] if batch.clicks is not None else torch.zeros(0), 0.1)
    scores = out.scores[2:]
    expected = -(target * scores.log() + (1 - target) * (1 - scores).log()).mean()
    torch.testing.assert_close(terms["glance"], expected)
    weighted = model.losses(out, batch)
    assert weighted["abnormal"] == 0
    assert torch.equal(weighted["glance"], terms["glance"])
    assert torch.equal(weighted["normal"], terms["normal"])


def test_the_target_carries_no_gradient_and_everything_is_trained() -> None:
    model = _model(mining_from=1)
    torch.stack(list(model.training_loss(_batch()).values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_events_grow_from_a_step_on_and_a_resumed_training_knows_which(tmp_path: Path) -> None:
    steps: list[int] = []

    class Noted(GlanceVAD):
        def target(self, clicks: Tensor, scores: Tensor) -> Tensor:
            steps.append(self.step)
            return super().target(clicks, scores)

    def run(epochs: int) -> Method:
        torch.manual_seed(0)
        config = GlanceVAD.Config(**{**SMALL, "segments": 8, "batch": 2, "epochs": 3, "steps_per_epoch": 2})
        method = Noted(config, _task())
        sampling = dataclasses.replace(method.sampling(), epochs=epochs)
        data = dataclasses.replace(split([9] * 8, dim=5), glances={f"v{i:02d}": (3.5,) for i in (1, 3, 5, 7)})
        batches = Batches(data, np.arange(8), sampling, 0, "d", clicks=True)
        train(method, batches, Selector("last", method.looks(), None, ""), checkpoint=tmp_path / "resume.pt")
        return method

    run(2)
    assert steps == [1, 2, 3, 4]
    steps.clear()
    run(3)
    # At least the first epoch had been saved.
    assert steps[-2:] == [5, 6]
    assert steps[0] > 1


@pytest.mark.parametrize(("step", "grows"), [(1, False), (3, False), (4, True), (9, True)])
def test_mining_begins_at_its_step(step: int, grows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clicks, scores = torch.tensor([[0.0, 0, 1, 0, 0, 0]]), torch.ones(1, 6)
    monkeypatch.setattr(GlanceVAD, "step", property(lambda self: step))
    for mining in (True, False):
        model = _model(mining_from=4, mining=mining, splatting=False)
        expected = [[1.0, 1, 1, 1, 1, 0]] if grows and mining else clicks.tolist()
        assert model.target(clicks, scores).tolist() == expected


def test_official_size_schedule_and_looks() -> None:
    model = GlanceVAD(GlanceVAD.configure("ucf-crime", "paper", {}), dataclasses.replace(_task(), dim=1024))
    assert sum(p.numel() for p in model.parameters()) == GlanceVAD.card.parameters
    sampling, looks = model.sampling(), model.looks()
    steps = sampling.epochs * (sampling.steps_per_epoch or 0)
    assert (steps, sampling.batch, sampling.restart, sampling.crops) == (1500, 64, "exhausted", "apart")
    assert (looks.first, looks.every, looks.over) == (5, 5, "training")
    (schedule,) = model.schedules(TrainingPlan(15, 100, (12, 12)))
    group = schedule.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], model.step) == (1e-4, 5e-5, 1)
    assert schedule.scheduler is not None
    for _ in range(60):
        schedule.optimizer.step()
        schedule.scheduler.step()
    assert (group["lr"], model.step) == (1e-4, 61)
    xd = GlanceVAD.configure("xd-violence", "paper", {})
    assert isinstance(xd, GlanceVAD.Config)
    assert xd.model_dump()["mining_from"] == 100


def test_official_names() -> None:
    model = _model()
    for theirs, ours in {
        "self_attn.layers.1.0.fn.to_qkv.weight": "encoder.blocks.1.attention.project.weight",
        "module.Amemory.memory_block": "abnormal_memory.bank",
        "encoder_var.0.bias": "encode_log_variance.bias",
    }.items():
        assert list(model.official_state({theirs: torch.zeros(1)})) == [ours]
    assert model.official_state({"selfatt.layers.1.0.fn.to_qkv.weight": torch.zeros(1)}) == {}


def test_a_data_set_without_clicks_is_one_line_but_only_for_training() -> None:
    line = r"glancevad needs glances.*t has none \(`glances: \{path: FILE.csv\}` in its card.*header video-id,glance"
    with pytest.raises(Unsupported, match=line):
        GlanceVAD.check(_task(glances=False))
    URDMU.check(_task(glances=False))
    build_for_weights(GlanceVAD, GlanceVAD.Config(**SMALL), _task(glances=False))


def test_a_run_of_it_knows_the_clicks_and_no_other_run_does(demo: Bank, tmp_path: Path) -> None:
    glance, weak = (
        spec_of(cls.card.name, cls.configure("", "fast", {}), demo, None, **_REST) for cls in (GlanceVAD, URDMU)
    )
    assert glance.glances == demo.glances_hash != ""
    assert weak.glances == ""
    # Weights from elsewhere are tested, which takes no click.
    given = {**_REST, "selection": "given"}
    assert spec_of("glancevad", GlanceVAD.configure("", "fast", {}), demo, None, **given).glances == ""
    assert glance.feature_hash == weak.feature_hash
    assert glance.identity != glance.model_copy(update={"glances": "others"}).identity
    assert task_of(demo, None).glances


_REST: dict[str, Any] = {
    **{"preset": "fast", "seed": 0, "selection": "last", "device": "cpu", "threads": 1},
}


@pytest.mark.parametrize(("name", "receives"), [("glancevad", True), ("urdmu", False), ("deepmil", False)])
def test_only_the_track_receives_clicks(
    name: str, receives: bool, demo: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Batch] = []
    settings = {name: {"epochs": 1, "steps_per_epoch": 1, "batch": 2}}
    (order,) = plan(Matrix(methods=(name,), set=settings), tmp_path, threads=1).orders
    job = job_of(order, demo)
    plain = job.cls.training_loss

    def noted(self: Method, batch: Batch) -> dict[str, Tensor]:
        seen.append(batch)
        return plain(self, batch)

    monkeypatch.setattr(job.cls, "training_loss", noted)
    compute_trial(job, build_method(job), lambda predictions: 0.0, lambda line: None, lambda done, total: None)
    (batch,) = seen
    assert (batch.clicks is not None) == receives
    if batch.clicks is not None:
        assert batch.clicks.shape == batch.features.shape[:2]
        assert not batch.clicks[: batch.normal].any()
        assert (batch.clicks[batch.normal :].sum(dim=1) >= 1).all()


def test_a_plan_refuses_it_where_nobody_clicked(demo: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bank, "glances_hash", "")
    found = plan(Matrix(methods=("glancevad",)), tmp_path, threads=1)
    assert not found.orders
    assert "demo has none" in (found.refused[0].error or "")
    assert find_card("demo").glances is None
