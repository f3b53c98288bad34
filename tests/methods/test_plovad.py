"""PLOVAD: whom a snippet looks at, lengths, ties, both texts of a class, descriptions from a file, official names."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor

from harness.errors import Unsupported, UserError
from harness.methods.layers import graphs
from harness.methods.layers.clip import unit
from harness.methods.plovad import PLOVAD, PLOVADConfig, TemporalModule
from harness.plugin import Batch, Size, Task, TrainingPlan
from harness.registry import setting_errors
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower

CLASSES = ("Normal", "Fire", "RoadAccident")
PROMPTS = ("normal", "Fire", "road accident")
SMALL = {"classifier_width": 6, "dropout": 0.0, "prompt_prefix": 3, "prompt_postfix": 2}
SENTENCES = {"normal": ["People walk.", "Nothing happens."], "FIRE": ["It burns."], "road accident": ["Cars crash."]}


@functools.cache
def _tower() -> TextTower:
    return load_text_tower(None)


def _task() -> Task:
    return Task("t", CLASSES, PROMPTS, 512, _tower())


def _model(**settings: Any) -> PLOVAD:
    torch.manual_seed(0)
    return PLOVAD(PLOVADConfig(**{**SMALL, **settings}), _task())


def _batch(length: int = 20) -> Batch:
    torch.manual_seed(1)
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 1]])
    features, lengths = torch.randn(3, length, 512), torch.tensor([length, 17, length - 1])
    features[torch.arange(length) >= lengths[:, None]] = 0
    return Batch(features, lengths, labels)


def _all(features: Tensor) -> Tensor:
    return torch.ones(features.shape[:2], dtype=torch.bool)


def _attended(model: TemporalModule, x: Tensor) -> Tensor:
    """What the heads' attention alone makes of videos `[B, T, D]`, without what lies behind and beside it."""
    kept: list[Tensor] = []
    for head in model.heads:
        for parameter in head.residual.parameters():
            parameter.data.zero_()
        head.register_forward_hook(lambda module, arguments, found: kept.append(found))
    model(x, _all(x))
    return torch.cat(kept, dim=2)


@pytest.mark.parametrize(("settings", "reach"), [({}, 13), ({"kernel_slope": 2.0, "kernel_bias": 0.0}, 7)])
def test_snippets_look_as_far_as_the_kernel_is_above_underflow(settings: dict[str, Any], reach: int) -> None:
    model = _model(loud_share=1.0, **settings).temporal
    x = torch.randn(1, 60, 512, requires_grad=True)
    (gradient,) = torch.autograd.grad(_attended(model, x)[0, 30].sum(), x)
    seen = (gradient[0].abs().sum(dim=1) > 0).nonzero().flatten().tolist()
    assert seen == list(range(30 - reach, 30 + reach + 1))
    steps = torch.arange(60, dtype=torch.float32)
    kernel = torch.exp(-(model.config.kernel_slope * steps**2 - model.config.kernel_bias).abs())
    assert int((kernel > 0).sum()) == reach + 1


def test_only_the_loudest_meet_and_a_lonely_snippet_looks_at_all_alike() -> None:
    model = _model(loud_share=0.1).temporal
    x = torch.randn(1, 60, 512)
    x[0, [0, 10, 20, 30, 31, 59]] *= 5  # 6 of 60
    x.requires_grad_()
    values = torch.cat([x[0] @ head.weight for head in model.heads], dim=1)
    attended = _attended(model, x)[0]
    # Within 13 of row 5 are two loud ones, and itself it compares with them; row 10 is loud; 45 is 14 from the nearest.
    for row, expected in {5: [0, 5, 10], 10: list(range(24)), 45: list(range(60))}.items():
        (gradient,) = torch.autograd.grad(attended[row].sum(), x, retain_graph=True)
        assert (gradient[0].abs().sum(dim=1) > 0).nonzero().flatten().tolist() == expected
    torch.testing.assert_close(attended[45], torch.nn.functional.elu(values.mean(dim=0)))


def test_a_video_scores_the_same_alone_and_beside_longer_ones() -> None:
    model = _model().eval()
    lengths = torch.tensor([1, 2, 13, 200])
    features = torch.randn(4, 200, 512)
    with torch.no_grad():
        together = model.predict(features, lengths)
        assert together.class_probs is not None
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1])
            assert alone.class_probs is not None
            torch.testing.assert_close(together.scores[row, :length], alone.scores[0])
            torch.testing.assert_close(together.class_probs[row, :length], alone.class_probs[0])
    assert ((together.scores >= 0) & (together.scores <= 1)).all()


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, features = _model().eval(), torch.randn(2, 37, 512)
    valid = torch.arange(37) < torch.tensor([[37], [20]])
    whole = model(features, valid).scores
    monkeypatch.setattr(graphs, "_ENTRIES", 2 * 37 * 4)
    torch.testing.assert_close(model(features, valid).scores, whole)


def test_ties_among_padded_rows_fall_as_torch_has_them() -> None:
    """In training a short video has fewer rows than count as loud; which padded ones join is torch.topk's order."""
    model = _model(loud_share=0.5).temporal
    x = torch.randn(1, 40, 512)
    x[:, 8:] = 0
    expected = torch.zeros(40, dtype=torch.bool)
    expected[x.norm(dim=2)[0].topk(20).indices] = True
    loud = model.loudest(x, _all(x))[0]
    assert torch.equal(loud, expected)
    assert loud[:8].all()
    # At test there is no padding among them.
    assert model.loudest(x, torch.arange(40)[None] < 8)[0].nonzero().flatten().max() < 8


def test_as_many_are_loud_as_pythons_own_product_says() -> None:
    lengths = torch.arange(1, 201)
    valid = torch.arange(200) < lengths[:, None]
    counts = _model().temporal.loudest(torch.randn(200, 200, 4), valid).sum(dim=1)
    assert counts.tolist() == [int(0.55 * length) for length in range(1, 201)]


def test_classes_are_the_nearer_of_both_texts() -> None:
    model, batch = _model().eval(), _batch()
    valid = torch.arange(20) < batch.lengths[:, None]
    with torch.no_grad():
        out = model(batch.features, valid)
        probs = model.predict(batch.features, batch.lengths).class_probs
        assert probs is not None
        for row, length in enumerate(batch.lengths.tolist()):
            visual, scores = out.visual[row, :length], out.scores[row, :length]
            shifted = model.described + unit(scores @ visual)
            logits = [unit(visual) @ unit(text).T / 0.09 for text in (out.text, shifted)]
            torch.testing.assert_close(probs[row, :length], torch.maximum(*logits).softmax(dim=1))
            # Of a whole video: the mean of the best 2 (17 // 16 + 1) of each class, whatever its label.
            best = [each.sort(dim=0, descending=True).values[: length // 16 + 1].mean(dim=0) for each in logits]
            torch.testing.assert_close(model.video_logits(out, batch.lengths)[row], torch.maximum(*best))


def test_losses_by_hand() -> None:
    model, batch = _model(alignment_weight=0.5), _batch(24)
    out = model(batch.features, _all(batch.features))
    terms = model.losses(out, batch)
    scores, classes = [], []
    for row, length in enumerate(batch.lengths.tolist()):
        k = length // 16 + 1 if row else 1
        logits = unit(out.visual[row, :length]) @ unit(out.text).T / 0.09
        scores.append(out.scores[row, :length].topk(k).values.mean())
        classes.append(torch.stack([column.topk(k).values.mean() for column in logits.T]))
    torch.testing.assert_close(
        terms["bags"], torch.nn.functional.binary_cross_entropy(torch.stack(scores), torch.tensor([0.0, 1, 1]))
    )
    # Of two classes the first counts.
    target = torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        terms["alignment"], 0.5 * torch.nn.functional.cross_entropy(torch.stack(classes), target)
    )


def test_everything_is_trained_but_the_tower_and_the_descriptions() -> None:
    model = _model()
    torch.stack(list(model.training_loss(_batch()).values())).sum().backward()
    for name, parameter in model.named_parameters():
        trained = parameter.grad is not None and bool(parameter.grad.count_nonzero())
        assert trained != name.startswith("text."), name
    assert not any(name.startswith("described") for name in model.saved_state())


def test_descriptions_come_from_a_file_and_stay_in_the_config(tmp_path: Path) -> None:
    for name, text in {"d.json": json.dumps(SENTENCES), "d.yaml": yaml.safe_dump(SENTENCES)}.items():
        (tmp_path / name).write_text(text)
        config = PLOVAD.configure("", "fast", {"descriptions": str(tmp_path / name)})
        assert isinstance(config, PLOVADConfig)
        assert config.descriptions == {key: tuple(each) for key, each in SENTENCES.items()}
        assert PLOVADConfig(**config.model_dump(mode="json")) == config
    model = _model(descriptions=SENTENCES)
    torch.testing.assert_close(model.described[0], _tower().encode(SENTENCES["normal"]).mean(dim=0))
    torch.testing.assert_close(model.described[1:], _tower().encode(["It burns.", "Cars crash."]))
    # Without a file the words of the prompts, in small letters.
    torch.testing.assert_close(_model().described, _tower().encode(["normal", "fire", "road accident"]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "expected a list of sentences"),
        ("normal: People walk.", "class 'normal': expected a list of sentences"),
        ("normal: []", "class 'normal'"),
        ("{", "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as caught, setting_errors(PLOVAD, "--set"):
        PLOVAD.configure("", "fast", {"descriptions": str(path)})
    assert "\n" not in str(caught.value)
    with pytest.raises(ValidationError, match="No such file"):
        PLOVADConfig(descriptions=str(tmp_path / "none.yaml"))


def test_a_class_that_is_not_described_is_one_line() -> None:
    with pytest.raises(Unsupported, match=r"say nothing about class RoadAccident of t \(prompt: road accident\)"):
        _model(descriptions={"normal": ["a"], "fire": ["b"]})


def test_official_checkpoints() -> None:
    model = _model()
    state = model.saved_state()
    plain = {"prompts.context": "embedding.weight", "temporal.out.": "TM.linear2.", "temporal.norm.": "TM.norm."}
    official = {}
    for key, value in state.items():
        theirs = re.sub(r"temporal\.heads\.(\d)\.", r"TM.self_attn.attention_\1.", key).replace(".pair", ".a")
        for ours, name in plain.items():
            theirs = theirs.replace(ours, name)
        official[f"module.{theirs}"] = value
    unused = ("mlp1.c_fc.weight", "norm.bias", "TM.loc_adj.w", "clipmodel.visual.proj")
    official |= {f"module.{name}": torch.zeros(1) for name in unused}
    assert PLOVAD.official_sizes(official) == (512, {"heads": 4, "classifier_width": 6})
    found: dict[str, Tensor] = {}
    for key, value in official.items():
        renamed = model.official_state({key: value})
        left_out = any(re.fullmatch(each, key.removeprefix("module.")) for each in PLOVAD.unused_official)
        assert len(renamed) == 1 - left_out, key
        found |= renamed
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_official_size_and_schedule() -> None:
    model = PLOVAD(PLOVAD.configure("ucf-crime", "paper", {}), _task())
    assert Size.of(model).total == Size.of(model).trainable == PLOVAD.card.parameters
    (schedule,) = model.schedules(TrainingPlan(50, 11, (11,)))
    group = schedule.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], schedule.scheduler, schedule.clip_norm) == (1e-3, 0, None, None)
    sampling = model.sampling()
    assert (sampling.mode, sampling.batch, sampling.length, sampling.epochs) == ("mixed", 128, 200, 50)
    assert (sampling.fit, sampling.drop_last) == ("pick-or-pad", False)
    context = model.prompts.context
    assert context is not None
    assert float(context.detach().std()) == pytest.approx(0.01, rel=0.02)


def test_what_it_cannot_run_on() -> None:
    with pytest.raises(Unsupported, match="512-d"):
        PLOVAD.check(Task("t", CLASSES, PROMPTS, 1024, _tower()))
    with pytest.raises(Unsupported, match="text tower"):
        PLOVAD.check(Task("t", CLASSES, PROMPTS, 512))
