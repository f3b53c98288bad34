"""AVadCLIP: the sound's network, fusion, the focal loss, teacher and student in turns, official names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.errors import Unsupported
from harness.methods.avadclip import TEACHER_NAMES, AVadCLIP, AVadCLIPConfig, CausalBlock, CausalConv, FocalVadCLIP
from harness.methods.avadclip_student import _OFFICIAL, AVadCLIPStudent, AVadCLIPStudentConfig
from harness.plugin import Batch, Looks, Size, Task, TrainingPlan
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower
from harness.training.loop import train
from harness.training.sampling import Batches
from harness.training.selection import Selector
from tests.tiny import split

CLASSES = ("normal", "riot", "car accident")
SMALL = {"visual_length": 8, "attn_window": 4, "batch": 2, "prompt_prefix": 2, "prompt_postfix": 2, "dropout": 0.0}


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return load_text_tower(None)


def _task(tower: TextTower, dim: int = 1024, sound: int = 512) -> Task:
    return Task("t", CLASSES, CLASSES, dim, tower, sound)


def _teacher(tower: TextTower, **settings: Any) -> AVadCLIP:
    torch.manual_seed(0)
    return AVadCLIP(AVadCLIPConfig(**{**SMALL, "visual_layers": 1, **settings}), _task(tower))


def _student(tower: TextTower, **settings: Any) -> AVadCLIPStudent:
    torch.manual_seed(0)
    return AVadCLIPStudent(AVadCLIPStudentConfig(**{**SMALL, "teacher_layers": 1, **settings}), _task(tower))


def _batch() -> Batch:
    features = torch.randn(3, 8, 1024, generator=torch.Generator().manual_seed(1)) * 0.4
    lengths = torch.tensor([8, 5, 1])
    features[torch.arange(8) >= lengths[:, None]] = 0
    return Batch(features, lengths, torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 1]]))


def test_a_causal_convolution_is_torchs_on_weights_of_those_norms() -> None:
    torch.manual_seed(0)
    conv = CausalConv(6, 2)
    torch.testing.assert_close(conv.norms.flatten(), conv.directions.flatten(1).norm(dim=1))  # so it starts as drawn
    conv.norms.data *= 3
    conv.directions.data *= 5  # their own length does not count
    x = torch.randn(2, 7, 6)
    weight = conv.norms * F.normalize(conv.directions.flatten(1), dim=1).view_as(conv.directions)
    expected = F.conv1d(F.pad(x.transpose(1, 2), (2, 0)), weight, conv.bias, dilation=2).transpose(1, 2)
    torch.testing.assert_close(conv(x), expected)
    torch.testing.assert_close(conv(x[:, :1]), expected[:, :1])


def test_a_snippet_hears_itself_and_the_fourteen_before_it() -> None:
    torch.manual_seed(0)
    hearing = torch.nn.Sequential(*(CausalBlock(16, step, 0.0) for step in (1, 2, 4)))
    x = torch.randn(1, 40, 16)
    moved = x.clone()
    moved[0, 10] += 10
    changed = (hearing(moved) != hearing(x))[0].any(dim=1).nonzero().flatten()
    assert changed.tolist() == list(range(10, 25))


def test_the_block_drops_in_training_alone() -> None:
    block, x = CausalBlock(16, 1, 0.5), torch.randn(1, 9, 16)
    assert not torch.equal(block.train()(x), block(x))
    assert torch.equal(block.eval()(x), block(x))


def test_fusion_by_hand(tower: TextTower) -> None:
    fusion = _teacher(tower).fusion
    pictures, sound = torch.randn(2, 3, 512), torch.randn(2, 3, 512)
    joined = torch.cat([pictures, sound], dim=2)
    gate = fusion.gate(joined).sigmoid()
    torch.testing.assert_close(
        fusion(pictures, sound), pictures + gate * fusion.narrow(F.gelu(fusion.widen(joined), approximate="none"))
    )


def test_the_focal_loss_by_hand(tower: TextTower) -> None:
    model, batch = _teacher(tower), _batch()
    model.class_weights.data = torch.tensor([0.1, 0.2, 0.4])
    out = model(batch.features, batch.lengths)
    losses = []
    for logits, labels, length in zip(out.logits2, batch.labels, batch.lengths.tolist(), strict=True):
        p, share = logits[:length].max(dim=0).values.softmax(dim=0), labels / labels.sum()
        losses.append(-(share @ model.class_weights) * (1 - share @ p) ** 2 * (share @ p.log()))
    terms = model.losses(out, batch)
    torch.testing.assert_close(terms["focal"], torch.stack(losses).mean() / 2)
    assert set(terms) == {"binary", "alignment", "text", "focal"}


def test_losses_reach_every_parameter_and_no_frozen_one(tower: TextTower) -> None:
    model = _teacher(tower)
    torch.stack(list(model.training_loss(_batch()).values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("text."), name


def test_without_sound_it_is_not_heard(tower: TextTower) -> None:
    batch = _batch()
    silent = batch.features.clone()
    silent[:, :, 512:] = 0
    for model, heard in ((_teacher(tower), True), (_teacher(tower, sound=False), False), (_student(tower), False)):
        with torch.no_grad():
            scores = [model.eval().predict(each, batch.lengths).scores for each in (batch.features, silent)]
        assert torch.equal(*scores) != heard


@pytest.mark.parametrize("build", [_teacher, _student])
def test_predict_reads_windows_of_any_padding_alike(tower: TextTower, build: Any) -> None:
    model, batch = build(tower).eval(), _batch()
    with torch.inference_mode():
        out = model.predict(batch.features, batch.lengths)
        assert out.class_probs.shape == (3, 8, 3)
        for row, length in enumerate(batch.lengths.tolist()):
            alone = model.predict(batch.features[row : row + 1, :length], torch.tensor([length]))
            torch.testing.assert_close(alone.scores[0], out.scores[row, :length], rtol=1e-4, atol=1e-5)


def test_the_distance_to_the_teacher_by_hand(tower: TextTower) -> None:
    model, batch = _student(tower, distill_weight=0.5), _batch()
    terms = model.training_loss(batch)
    visual = model.encoded(batch.features, batch.lengths)
    mean, log_variance = model.mean(visual), model.log_variance(visual)
    target = model.teacher.fused(batch.features, batch.lengths)
    distance = (target - mean) ** 2 / (1e-6 + 2 * log_variance.exp()) + log_variance
    torch.testing.assert_close(terms["distill"], 0.5 * distance.mean())
    terms["distill"].backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(p.grad is not None for p in model.log_variance.parameters())


def _trained(
    tower: TextTower, checkpoint: Path | None = None, stop: int = 0
) -> tuple[AVadCLIPStudent, list[Any], list[dict[str, torch.Tensor]]]:
    """A student and its teacher after two steps each, the epochs' records, and their weights after every step."""
    model = _student(tower, epochs=2, steps_per_epoch=1, lr=1e-3, dropout=0.1)
    batches = Batches(split([9, 5] * 2, dim=1024), np.arange(4), model.sampling(), 0, "t")
    # The made-up split has two classes, the method three.
    padded = np.pad(batches.split.labels, ((0, 0), (0, 1)))
    batches.split.__dict__["labels"] = padded

    weights = []

    def note(done: int, total: int) -> None:
        weights.append({name: value.clone() for name, value in model.saved_state().items()})
        if done == stop:
            raise KeyboardInterrupt

    records = train(model, batches, Selector("last", Looks(), None, ""), "cpu", checkpoint, note)
    return model, records, weights


def test_the_teacher_is_trained_first_and_then_left_alone(tower: TextTower) -> None:
    model, records, weights = _trained(tower)
    teachers = {"teacher_binary", "teacher_alignment", "teacher_text", "teacher_focal"}
    students = {"binary", "alignment", "text", "focal", "distill"}
    assert [set(record["terms"]) for record in records] == [teachers, teachers, students, students]
    assert not model.teacher.training
    for before, after, teachers_turn in zip(weights, weights[1:], (True, False, False), strict=False):
        for name, value in before.items():
            assert torch.equal(value, after[name]) != (name.startswith("teacher.") == teachers_turn), name


def test_a_training_cut_off_in_the_students_turn_goes_on_where_it_was(tower: TextTower, tmp_path: Path) -> None:
    whole, records, _ = _trained(tower)
    with pytest.raises(KeyboardInterrupt):
        _trained(tower, tmp_path / "resume.pt", stop=4)
    resumed, again, _ = _trained(tower, tmp_path / "resume.pt")
    assert [record["terms"] for record in again] == [record["terms"] for record in records]
    saved = whole.saved_state()
    assert not any("text." in name for name in saved)
    assert all(torch.equal(value, resumed.saved_state()[name]) for name, value in saved.items())


def test_rates_epochs_and_looks(tower: TextTower) -> None:
    model = _student(tower)
    assert (model.sampling().epochs, model.sampling().batch, model.looks()) == (20, 2, Looks(None, 0, skip=10))
    schedules = model.schedules(TrainingPlan(20, 1, (1,)))
    rates = []
    for _ in range(20):
        rates.append([schedule.optimizer.param_groups[0]["lr"] for schedule in schedules])
        for schedule in schedules:
            schedule.optimizer.step()
            schedule.scheduler.step()
    falling = [1e-5] * 3 + [1e-6] * 3 + [1e-7] * 4
    assert [teacher for teacher, _ in rates[:10]] == pytest.approx(falling)
    assert [student for _, student in rates[10:]] == pytest.approx(falling)
    assert {group["weight_decay"] for each in schedules for group in each.optimizer.param_groups} == {0.01}
    alone = _student(tower, distill_weight=0.0)
    assert (alone.teacher, alone.sampling().epochs, alone.looks()) == (None, 10, Looks(None, 0))
    assert set(alone.training_loss(_batch())) == {"binary", "alignment", "text", "focal"}


def test_sizes_are_those_of_the_official_models(tower: TextTower) -> None:
    classes = tuple("abcdefg")
    task = Task("t", classes, classes, 1024, tower, 512)
    slots = (tower.context - 77) * 512
    for method, settings in ((AVadCLIP, {}), (AVadCLIPStudent, {"distill_weight": 0.0})):
        model = method(method.configure("xd-violence", "paper", settings), task)
        # Official ones count a number that nothing reads.
        assert Size.of(model).trainable - slots + 1 == method.card.parameters


def _official(model: FocalVadCLIP, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Our state under official names, and what official checkpoints hold besides."""
    found = {}
    for key, value in model.saved_state().items():
        for theirs, ours in names.items():
            if key.startswith(ours):
                found[f"module.{theirs}{key.removeprefix(ours)}"] = value
    return found | {"module.disAdj.sigma": torch.ones(1), "clipmodel.visual.proj": torch.ones(1)}


def test_official_checkpoints(tower: TextTower) -> None:
    for model, names in (
        (_teacher(tower), TEACHER_NAMES),
        (_student(tower, distill_weight=0.0), {k: v for k, v in _OFFICIAL.items() if not k.startswith("teacher.")}),
    ):
        state, official = model.saved_state(), _official(model, names)
        dim, sizes = type(model).official_sizes(official)
        assert (dim, type(model).official_audio_dim(official), sizes["visual_length"]) == (1024, 512, 8)
        assert sizes.get("distill_weight", 0.0) == 0.0
        renamed = {}
        for key, value in official.items():
            found = model.official_state({key: value})
            unused = any(re.fullmatch(p, key.removeprefix("module.")) for p in type(model).unused_official)
            assert len(found) == 1 - unused, key
            renamed |= found
        assert renamed.keys() == state.keys()
        assert all(torch.equal(renamed[key], state[key]) for key in state)
    # The convolutions of the sound are stored twice.
    twice = _teacher(tower).official_state({"temporalconvnet.network.2.net.4.weight_v": torch.zeros(1)})
    assert list(twice) == ["hearing.2.second.directions"]


def test_what_it_cannot_run_on(tower: TextTower) -> None:
    for method in (AVadCLIP, AVadCLIPStudent):
        with pytest.raises(Unsupported, match="1024-d"):
            method.check(_task(tower, 512, 0))
        with pytest.raises(Unsupported, match="needs features of sound"):
            method.check(_task(tower, 1024, 0))
        with pytest.raises(Unsupported, match="as many channels of sound as of pictures; t has 128 of 1024"):
            method.check(_task(tower, 1024, 128))
        method.check(_task(tower))
