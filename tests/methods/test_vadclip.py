"""VadCLIP: prompts against a plain construction, switches, lengths, text cache, names of official checkpoints."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from harness.errors import Unsupported
from harness.methods.layers.clip import VADCLIP_NAMES, unit
from harness.methods.layers.prompts import ClassPrompts
from harness.methods.vadclip import VadCLIP, VadCLIPConfig
from harness.plugin import Batch, Size, Task, TrainingPlan
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower

CLASSES = ("normal", "riot", "car accident")
SMALL = {"visual_length": 12, "visual_layers": 1, "batch": 2, "prompt_prefix": 3, "prompt_postfix": 2}


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return load_text_tower(None)


def _model(tower: TextTower, **settings: object) -> VadCLIP:
    torch.manual_seed(0)
    return VadCLIP(VadCLIPConfig(**{**SMALL, **settings}), Task("t", CLASSES, CLASSES, 512, tower))


def _batch() -> Batch:
    features = torch.randn(4, 12, 512, generator=torch.Generator().manual_seed(1)) * 0.4
    lengths = torch.tensor([12, 5, 9, 1])
    features[torch.arange(12) >= lengths[:, None]] = 0
    labels = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]])
    return Batch(features, lengths, labels, normal=2)


def _official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state under official names, and what official checkpoints hold besides."""
    back = {ours: theirs for theirs, ours in VADCLIP_NAMES.items()}
    renamed = {}
    for key, value in state.items():
        ours = next(prefix for prefix in back if key.startswith(prefix))
        renamed[f"module.{key.replace(ours, back[ours], 1)}"] = value
    return renamed | {"module.disAdj.sigma": torch.ones(1), "clipmodel.visual.proj": torch.ones(1)}


@pytest.mark.parametrize(("prefix", "postfix", "repeat"), [(3, 2, False), (3, 0, False), (3, 0, True), (0, 2, False)])
def test_prompts_equal_full_length_rows_filled_by_hand(
    tower: TextTower, prefix: int, postfix: int, repeat: bool
) -> None:
    prompts = ClassPrompts(tower, CLASSES, prefix, postfix, repeat)
    assert prompts.context is not None
    rows, ends = [], []
    for text in CLASSES:
        tokens = tower.embed(tower.tokenize([text]))[0]
        row, last = prompts.context.detach().clone(), len(tokens) - 1
        row[0] = tokens[0]
        row[prefix + 1 : prefix + last] = tokens[1:last]
        if repeat:
            row[prefix + last] = tokens[last]
        ends.append(prefix + last + postfix + repeat)
        row[ends[-1]] = tokens[last]
        rows.append(row)
    expected = tower.project(tower(torch.stack(rows), torch.tensor(ends)))
    with torch.no_grad():
        torch.testing.assert_close(prompts(tower), expected, rtol=1e-5, atol=1e-5)


def test_words_hide_their_row_of_the_table_from_that_class_alone(tower: TextTower) -> None:
    prompts = ClassPrompts(tower, CLASSES, 3, 2)
    rows = []
    for features in prompts(tower):
        assert prompts.context is not None
        (gradient,) = torch.autograd.grad(features.sum(), prompts.context, retain_graph=True)
        rows.append(gradient.abs().sum(dim=1) > 0)
    for slots, reached, eot in zip(prompts.slots, rows, prompts.eot.tolist(), strict=True):
        assert reached[:eot].tolist() == (slots[:eot] < 0).tolist()
        assert not reached[eot:].any()


def test_prompts_that_are_too_long_lose_their_last_words(tower: TextTower) -> None:
    long = ClassPrompts(tower, ("riot " * 100,), 30, 30)
    assert long.slots.shape == (1, tower.context)
    assert (long.slots >= 0).sum() == tower.context - 60
    with pytest.raises(Unsupported, match="no room"):
        ClassPrompts(tower, CLASSES, 40, 40)


def test_loss_reaches_every_parameter_and_no_frozen_one(tower: TextTower) -> None:
    model, batch = _model(tower), _batch()
    terms = model.training_loss(batch)
    assert set(terms) == {"binary", "alignment", "text"}
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith("text."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_weights_switch_losses_off(tower: TextTower) -> None:
    batch = _batch()
    plain = _model(tower).training_loss(batch)
    for name in plain:
        terms = _model(tower, **{f"{name}_weight": 0.0}).training_loss(batch)
        assert terms[name] == 0
        assert all(torch.equal(terms[other], plain[other]) for other in plain if other != name)


def test_parts_switch_off(tower: TextTower) -> None:
    x, lengths = torch.randn(1, 12, 512) * 0.4, torch.tensor([12])
    moved = x.clone()
    moved[0, 0] += 1

    def change(model: VadCLIP) -> Tensor:
        with torch.no_grad():
            return (model.encoder(moved, lengths)[0] - model.encoder(x, lengths)[0])[0].abs().amax(dim=1) > 0

    # Without graphs a snippet acts inside its window of attention only; without attention on itself.
    assert change(_model(tower)).all()
    assert change(_model(tower, graph=False, attn_window=4)).tolist() == [True] * 4 + [False] * 8
    assert change(_model(tower, graph=False, attn_window=12)).all()
    assert change(_model(tower, graph=False, visual_layers=0)).tolist() == [True] + [False] * 11

    plain = _model(tower, visual_prompt=False)
    with torch.no_grad():
        out = plain(x, lengths)
        torch.testing.assert_close(out.logits2, unit(out.visual) @ unit(out.text).T / 0.07)

    frozen = _model(tower, learned_prompts=False)
    with torch.no_grad():
        torch.testing.assert_close(frozen(x, lengths).text, tower.encode(CLASSES))
    sizes = [Size.of(m).trainable for m in (_model(tower), plain, frozen)]
    assert sizes[0] - sizes[1] == 8 * 512 * 512 + 5 * 512
    assert sizes[0] - sizes[2] == 77 * 512
    # What a test left in the cache must serve a training.
    with torch.inference_mode():
        frozen.predict(x, lengths)
    torch.stack(list(frozen.training_loss(_batch()).values())).sum().backward()


def test_threshold_reaches_the_graph(tower: TextTower) -> None:
    x, lengths = torch.randn(1, 12, 512) * 0.4, torch.tensor([12])
    with torch.no_grad():
        open_, shut = (_model(tower, graph_threshold=t)(x, lengths).logits1 for t in (-1.0, 0.999))
    assert not torch.allclose(open_, shut)


def test_predict_reads_windows_of_any_padding_alike(tower: TextTower) -> None:
    model, batch = _model(tower).eval(), _batch()
    with torch.inference_mode():
        out = model.predict(batch.features, batch.lengths)
        assert out.class_probs is not None
        for row, length in enumerate(batch.lengths.tolist()):
            alone = model.predict(batch.features[row : row + 1, :length], torch.tensor([length]))
            assert alone.class_probs is not None
            torch.testing.assert_close(alone.scores[0], out.scores[row, :length], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(alone.class_probs[0], out.class_probs[row, :length], rtol=1e-4, atol=1e-5)
        zero = model.predict(torch.zeros(1, 1, 512), torch.tensor([1]))
    assert out.class_probs.shape == (4, 12, 3)
    torch.testing.assert_close(out.class_probs.sum(dim=2), torch.ones(4, 12))
    assert zero.scores.shape == (1, 1)
    assert zero.scores.isfinite().all()


def test_text_features_follow_the_learned_vectors(tower: TextTower) -> None:
    model = _model(tower).eval()
    with torch.inference_mode():
        first = model.prompts(tower)
        assert model.prompts(tower) is first
        assert model.prompts.context is not None
        model.prompts.context.data += 0.1
        second = model.prompts(tower)
    assert not torch.allclose(first, second)
    assert model.prompts(tower).requires_grad


def test_rates_and_looks_of_both_data_sets(tower: TextTower) -> None:
    ucf = VadCLIP.configure("ucf-crime", "paper", {})
    xd = VadCLIP.configure("xd-violence", "paper", {})
    assert isinstance(ucf, VadCLIPConfig)
    assert isinstance(xd, VadCLIPConfig)
    assert (ucf.visual_layers, ucf.attn_window, ucf.lr, ucf.text_weight, ucf.look_every) == (2, 8, 2e-5, 0.1, 10)
    assert (xd.visual_layers, xd.attn_window, xd.lr, xd.text_weight, xd.look_every) == (1, 64, 1e-5, 1e-4, None)
    (schedule,) = _model(tower).schedules(TrainingPlan(10, 125, (125, 126)))
    assert schedule.scheduler is not None
    # At the rate of XD-Violence a training case is too short to see the decay.
    assert {group["weight_decay"] for group in schedule.optimizer.param_groups} == {0.01}
    rates = []
    for _ in range(10):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.scheduler.step()
    assert rates == pytest.approx([2e-5] * 4 + [2e-6] * 4 + [2e-7] * 2)


def test_official_checkpoints(tower: TextTower) -> None:
    model = _model(tower, visual_layers=2)
    state = model.saved_state()
    official = _official(state)
    assert VadCLIP.official_sizes(official) == (512, {"visual_length": 12, "visual_layers": 2})
    renamed: dict[str, Tensor] = {}
    for key, value in official.items():
        found = model.official_state({key: value})
        unused = any(re.fullmatch(pattern, key.removeprefix("module.")) for pattern in VadCLIP.unused_official)
        assert len(found) == 1 - unused, key
        renamed |= found
    assert renamed.keys() == state.keys()
    assert all(torch.equal(renamed[key], state[key]) for key in state)
    _model(tower, visual_layers=2).load_saved_state(renamed)


def test_what_it_cannot_run_on(tower: TextTower) -> None:
    with pytest.raises(Unsupported, match="512-d"):
        VadCLIP.check(Task("t", CLASSES, CLASSES, 1024, tower))
    with pytest.raises(Unsupported, match="text tower"):
        VadCLIP.check(Task("t", CLASSES, CLASSES, 512))
