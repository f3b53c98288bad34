"""DSANet: blocks against plain formulas, lengths, schedules, text cache, names of official checkpoints."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import Unsupported
from harness.methods.dsanet import DSANet, DSANetConfig
from harness.methods.layers.clip import VADCLIP_NAMES, LocalBlock, unit
from harness.methods.layers.graphs import similarity_adjacency
from harness.methods.layers.time import topk_mean
from harness.methods.stable_adamw import StableAdamW, warmup_cosine
from harness.plugin import Batch, Task, TrainingPlan
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower

CLASSES = ("normal", "riot", "abuse")
SMALL = {"visual_length": 12, "decoder_depth": 1, "text_adapt_until": 2, "batch": 2}


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return load_text_tower(None)


def _model(tower: TextTower, **settings: object) -> DSANet:
    torch.manual_seed(0)
    return DSANet(DSANetConfig(**{**SMALL, **settings}), Task("t", CLASSES, CLASSES, 512, tower))


def _batch() -> Batch:
    features = torch.randn(4, 12, 512, generator=torch.Generator().manual_seed(1)) * 0.4
    lengths = torch.tensor([12, 5, 9, 1])
    features[torch.arange(12) >= lengths[:, None]] = 0
    labels = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]])
    return Batch(features, lengths, labels, normal=2)


def test_local_attention_equals_the_block_mask() -> None:
    torch.manual_seed(0)
    block = LocalBlock(16, 2, 4)
    x = torch.randn(3, 11, 16)
    blocks = torch.arange(11) // 4
    outside = blocks[:, None] != blocks[None]
    h = block.ln_1(x)
    masked = x + block.attn(h, h, h, attn_mask=outside, need_weights=False)[0]
    torch.testing.assert_close(block(x), masked + block.mlp(block.ln_2(masked)))
    assert block(x[:, :3]).shape == (3, 3, 16)


def test_similarity_adjacency_per_sample() -> None:
    x = torch.randn(3, 7, 8).abs()
    lengths = torch.tensor([7, 4, 1])
    got = similarity_adjacency(x, lengths)
    for rows, length, matrix in zip(x, lengths.tolist(), got, strict=True):
        cosine = F.normalize(rows[:length], dim=1) @ F.normalize(rows[:length], dim=1).T
        expected = torch.zeros(7, 7)
        expected[:length, :length] = (cosine * (cosine > 0.7)).softmax(dim=1)
        torch.testing.assert_close(matrix, expected)


@pytest.mark.parametrize("trailing", [(), (3,)])
def test_topk_mean_respects_lengths(trailing: tuple[int, ...]) -> None:
    values = torch.randn(4, 40, *trailing)
    lengths = torch.tensor([40, 17, 15, 1])
    got = topk_mean(values, lengths)
    for row, length, mean in zip(values, lengths.tolist(), got, strict=True):
        torch.testing.assert_close(mean, row[:length].topk(length // 16 + 1, dim=0).values.mean(dim=0))


def test_loss_terms_are_finite_and_reach_every_parameter(tower: TextTower) -> None:
    model, batch = _model(tower), _batch()
    terms = model.training_loss(batch)
    assert set(terms) == {"binary", "alignment", "text", "event", "background", "consistency", "gather"}
    total = torch.stack(list(terms.values())).sum()
    assert total.isfinite()
    total.backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("text."):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name


def test_predict(tower: TextTower) -> None:
    model, batch = _model(tower).eval(), _batch()
    with torch.inference_mode():
        out = model.predict(batch.features, batch.lengths)
        alone = model.predict(batch.features[1:2], batch.lengths[1:2])
    assert out.scores.shape == (4, 12)
    assert out.class_probs is not None
    assert out.class_probs.shape == (4, 12, 3)
    torch.testing.assert_close(out.class_probs.sum(dim=2), torch.ones(4, 12))
    torch.testing.assert_close(alone.scores[0], out.scores[1])
    assert model.reading().window == 12


def test_text_features_follow_the_weights(tower: TextTower) -> None:
    model, batch = _model(tower).eval(), _batch()

    def probs() -> Tensor:
        with torch.inference_mode():
            out = model.predict(batch.features, batch.lengths).class_probs
        assert out is not None
        return out.clone()

    first = probs()
    assert torch.equal(first, probs())
    model.texts.output.weight.data.mul_(torch.randn(512, 1, generator=torch.Generator().manual_seed(3)))
    second = probs()
    assert not torch.allclose(first, second)
    with torch.no_grad():
        fresh = model.texts._encode(model.text)
        torch.testing.assert_close(model.texts(model.text), fresh)
    model.training_loss(batch)["text"].backward()


def test_feature_scale_that_saturates_is_not_hidden(tower: TextTower) -> None:
    model = _model(tower)
    visual = torch.randn(1, 12, 512)
    ones = torch.ones(1, 12)
    assert model._pooled_logits(visual, 1 - ones, unit(torch.randn(3, 512))).isnan().all()


def test_a_video_of_tiny_scores_is_pooled_by_their_shares(tower: TextTower) -> None:
    """Where exp(x) - 1 rounds to 0 for all of them it would be 0/0, and a training on normal videos would end there."""
    model = _model(tower)
    visual, text = torch.randn(1, 3, 512), unit(torch.randn(3, 512))
    tiny = torch.tensor([[1e-9, 2e-9, 1e-9]])
    assert (torch.exp(model.config.pool_sharpness * tiny) == 1).all()
    pooled = (visual[0] * torch.tensor([0.25, 0.5, 0.25])[:, None]).sum(dim=0)
    expected = unit(pooled) @ text.T / model.config.align_temperature
    torch.testing.assert_close(model._pooled_logits(visual, tiny, text)[0], expected, rtol=1e-4, atol=1e-4)


def test_optimizers_share_out_the_parameters(tower: TextTower) -> None:
    model = _model(tower)
    main, refiner = model.schedules(TrainingPlan(10, 125, (125, 126)))
    groups = [{id(p) for g in s.optimizer.param_groups for p in g["params"]} for s in (main, refiner)]
    assert not groups[0] & groups[1]
    own = {id(p) for n, p in model.named_parameters() if not n.startswith("text.")}
    assert groups[0] | groups[1] == own
    assert (main.interval, refiner.interval) == ("epoch", "step")
    # Six steps of a warm-up are too few for a training case to see the refiner's decay.
    assert [s.optimizer.param_groups[0]["weight_decay"] for s in (main, refiner)] == [0.01, 1e-4]
    rates = []
    for _ in range(102):
        rates.append(refiner.optimizer.param_groups[0]["lr"])
        refiner.optimizer.step()
        assert refiner.scheduler is not None
        refiner.scheduler.step()
    assert rates[0] == 0
    assert rates[99] == rates[100] == pytest.approx(7e-5)
    assert rates[101] < rates[100]


def test_warmup_cosine_of_the_official_trainings() -> None:
    assert 7e-5 * warmup_cosine(1249, 2510, 100, 0.1) == pytest.approx(4.07974e-5, rel=1e-5)
    assert warmup_cosine(4119, 4120, 100, 0.1) == pytest.approx(0.1, abs=1e-5)
    assert warmup_cosine(9999, 4120, 100, 0.1) == warmup_cosine(4119, 4120, 100, 0.1)


def test_a_training_shorter_than_its_warm_up_ends_on_the_way_up(tower: TextTower) -> None:
    for total in (60, 100, 140):
        _, refiner = _model(tower).schedules(TrainingPlan(10, 1, (total // 10 - 1, 1)))
        rates = []
        for _ in range(total):
            rates.append(refiner.optimizer.param_groups[0]["lr"])
            refiner.optimizer.step()
            assert refiner.scheduler is not None
            refiner.scheduler.step()
        assert rates[:100] == pytest.approx([7e-5 * step / 99 for step in range(min(total, 100))])


def test_stable_adamw_by_hand() -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = StableAdamW([p], lr=0.1, weight_decay=0.5)
    expected = p.detach().double().clone()
    m, v, largest = (torch.zeros(2, dtype=torch.float64) for _ in range(3))
    for t, gradient in enumerate([[1.0, 0.1], [30.0, -3.0], [0.5, 0.5]], start=1):
        g = torch.tensor(gradient, dtype=torch.float64)
        p.grad = g.float()
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        largest = torch.maximum(largest, v)
        d = largest.sqrt() / math.sqrt(1 - 0.999**t) + 1e-10
        c = max(1.0, float((g / d).square().mean().sqrt()))
        expected = expected * (1 - 0.1 * 0.5) - 0.1 / ((1 - 0.9**t) * c) * m / d
    torch.testing.assert_close(p.detach().double(), expected, rtol=1e-5, atol=1e-6)


def test_saved_state_leaves_the_tower_out(tower: TextTower) -> None:
    model, other = _model(tower), _model(tower, normal_ratio=0.5)
    state = model.saved_state()
    assert not any(key.startswith("text.") for key in state)
    with torch.no_grad():
        other.encoder.positions.add_(1)
    other.load_saved_state(state)
    assert torch.equal(other.encoder.positions, model.encoder.positions)


def test_official_names_cover_the_module(tower: TextTower) -> None:
    model = _model(tower)
    back = {v: k for k, v in VADCLIP_NAMES.items()}
    refiner = {"prototypes": "video_prototypes", "gather.": "dnp_extractor.0.", "": ""}
    back |= {f"refiner.{ours}": f"video_anomaly_refiner.{theirs}" for ours, theirs in refiner.items()}
    back |= {"texts.output.": "clip_adapter.text_adapter.2.fc.0.", "texts.adapters.": "clip_adapter.text_adapter."}
    state = model.saved_state()
    official = {}
    for key, value in state.items():
        ours = next(prefix for prefix in back if key.startswith(prefix))
        theirs = key.replace(ours, back[ours], 1)
        if ours == "texts.adapters.":
            theirs = theirs.replace(".weight", ".fc.0.weight")
        official[f"module.{theirs}"] = value
    official |= {"disAdj.sigma": torch.ones(1), "clipmodel.logit_scale": torch.ones(())}
    official |= {"clip_adapter.clipmodel.logit_scale": torch.ones(())}
    renamed = model.official_state(official)
    assert renamed.keys() == state.keys()
    assert all(torch.equal(renamed[key], state[key]) for key in state)
    dim, sizes = DSANet.official_sizes(official)
    assert dim == 512
    assert sizes == {name: getattr(model.config, name) for name in sizes}
    assert sizes.keys() >= {"visual_length", "visual_layers", "text_adapt_until", "decoder_depth", "num_prototypes"}
    unknown = [key.removeprefix("module.") for key in official if not model.official_state({key: official[key]})]
    assert len(unknown) == 3
    assert all(any(re.fullmatch(pattern, key) for pattern in DSANet.unused_official) for key in unknown)


def test_settings_per_data_set() -> None:
    ucf = DSANet.configure("ucf-crime", "paper", {})
    xd = DSANet.configure("xd-violence", "paper", {})
    fast = DSANet.configure("xd-violence", "fast", {"batch": 3})
    assert isinstance(ucf, DSANetConfig)
    assert (ucf.visual_length, ucf.visual_layers, ucf.attn_window, ucf.lr, ucf.loss2_weight) == (256, 2, 8, 7e-5, 1.1)
    assert isinstance(xd, DSANetConfig)
    assert (xd.sampling_mode, xd.batch, xd.drop_last, xd.lr, xd.temperature) == ("mixed", 96, False, 1e-5, 1.0)
    assert isinstance(fast, DSANetConfig)
    assert (fast.visual_length, fast.batch, fast.text_mix) == (32, 3, 0.6)


def test_what_it_cannot_run_on(tower: TextTower) -> None:
    with pytest.raises(Unsupported, match="512-d"):
        DSANet.check(Task("t", CLASSES, CLASSES, 1024, tower))
    with pytest.raises(Unsupported, match="text tower"):
        DSANet.check(Task("t", CLASSES, CLASSES, 512))
    with pytest.raises(Unsupported, match="adapts 9 text layers"):
        _model(tower, text_adapt_until=9)
