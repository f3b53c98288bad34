"""MGFN: glance, focus, lengths, the contrast of magnitudes by hand, what is shuffled, official names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import Unsupported
from harness.methods.layers.magnitude import Selected
from harness.methods.mgfn import MGFN, Focus, Glance
from harness.plugin import Batch, Task, TrainingPlan

SMALL = {"dims": (8, 12), "depths": (1, 1), "mixers": ("glance", "focus"), "head_dim": 4, "select_dropout": 0.0}


def _model(dim: int = 5, **settings: Any) -> MGFN:
    torch.manual_seed(0)
    return MGFN(MGFN.Config(**{**SMALL, **settings}), Task("t", ("normal", "riot"), ("", ""), dim))


def _batch(normal: int, abnormal: int, crops: int = 1, length: int = 32) -> Batch:
    torch.manual_seed(2)
    labels = torch.tensor([[1.0, 0.0]] * normal + [[0.0, 1.0]] * abnormal).repeat_interleave(crops, dim=0)
    features = torch.randn(len(labels), length, 5)
    return Batch(features, torch.full((len(labels),), length), labels, normal * crops, crops)


def _selected(rows: torch.Tensor) -> Selected:
    return Selected(torch.zeros(0), rows, torch.zeros(0))


def test_glance_is_softmax_attention_by_head() -> None:
    torch.manual_seed(0)
    layer, x, valid = Glance(8, 4, 5).eval(), torch.randn(1, 9, 8), 6
    with torch.no_grad():
        ours = layer(x, (torch.arange(9) < valid).float()[None, :, None])[0, :valid]
        query, key, value = layer.to_qkv(layer.norm(x))[0, :valid].T.chunk(3)
        mixed = []
        for head in (slice(0, 4), slice(4, 8)):
            weights = (query[head].T @ key[head] / 2).softmax(dim=1)
            mixed.append(value[head] @ weights.T)
        torch.testing.assert_close(ours, layer.to_out(torch.cat(mixed).T[None])[0])


@pytest.mark.parametrize(("noise", "tied"), [(0.0, True), (0.1, False)])
def test_at_the_official_start_all_norms_tie_and_the_fast_preset_tells_them_apart(noise: float, tied: bool) -> None:
    batch = _batch(2, 2)
    with torch.no_grad():
        norms = _model(norm_noise=noise)(batch.features, batch.lengths)[0].norm(dim=2)
    # Rounding is 1e-7 of a norm; the normalisation's own epsilon leaves little more.
    assert (float(norms.std() / norms.mean()) < 1e-4) == tied


def test_focus_has_one_kernel_for_every_second_channel_of_two_heads() -> None:
    torch.manual_seed(0)
    layer = Focus(8, 4, 5).eval()
    for each in (layer.to_v, layer.to_out):
        nn.init.dirac_(each.weight)
    nn.init.zeros_(layer.to_out.bias)
    nn.init.zeros_(layer.rel_pos.bias)
    impulse = torch.zeros(1, 9, 8)
    impulse[:, 4] = torch.arange(1.0, 9.0)
    with torch.no_grad():
        answer = layer(impulse, torch.ones(1, 9, 1))[0].T
    for channel in range(8):
        kernel = layer.rel_pos.weight[channel % 2, 0].detach().flip(0)
        torch.testing.assert_close(answer[channel, 2:7], (channel + 1) * kernel, rtol=1e-4, atol=1e-5)
    assert answer[:, :2].abs().sum() == 0


@pytest.mark.parametrize("mixers", [("glance", "focus"), ("glance", "glance"), ("focus", "focus")])
def test_a_video_scores_the_same_alone_and_beside_longer_ones(mixers: tuple[str, str]) -> None:
    model = _model(mixers=mixers).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.bias)
    lengths = torch.tensor([1, 2, 7, 33])
    features = torch.randn(4, 33, 5)
    features[1] = 0
    with torch.no_grad():
        together = model.predict(features, lengths).scores
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
    assert 0 <= together.min() <= together.max() <= 1


def test_the_norm_of_the_features_is_an_input() -> None:
    model, blind = _model().eval(), _model(magnitude_ratio=0.0).eval()
    for each in (model, blind):
        nn.init.zeros_(each.to_tokens.weight)  # the norm alone is left
    x, lengths = torch.randn(1, 7, 5), torch.tensor([7])
    with torch.no_grad():
        assert not torch.allclose(model(x, lengths)[0], model(2 * x, lengths)[0])
        torch.testing.assert_close(blind(x, lengths)[0], blind(2 * x, lengths)[0])


@pytest.mark.parametrize(("videos", "crops"), [(2, 4), (4, 1), (3, 1), (3, 3), (1, 1)])
def test_contrast_by_hand(videos: int, crops: int) -> None:
    torch.manual_seed(0)
    rows = videos * crops
    low, high = torch.rand(rows, 3, 6), 2 * torch.rand(rows, 3, 6)
    found = _model(margin=9.0).contrast(_selected(low), _selected(high), crops)
    # Crop by crop: with an even number of crops, a row and its partner half the rows later are the same video.
    u, v = low.sum(dim=2), high.sum(dim=2)
    apart = [(9 - (v[r] - u[r] + 1e-6).norm()).clamp(min=0) ** 2 for r in range(rows)]
    torch.testing.assert_close(found["apart"], torch.stack(apart).mean())
    half = rows // 2
    for name, sums in (("normal", u), ("abnormal", v)):
        distances = [(sums[r + half] - sums[r] + 1e-6).square().sum() for r in range(half)]
        expected = torch.stack(distances).mean() if half else torch.tensor(0.0)
        torch.testing.assert_close(found[name], expected)


def test_smoothness_of_all_videos_and_sparsity_of_normal_ones() -> None:
    batch = _batch(2, 3, crops=2)
    scores = torch.rand(5, 32)
    model = _model()
    features = torch.randn(10, 32, 12)
    masks = torch.ones(2, 32), torch.ones(3, 32)
    terms = model.losses(scores, *model.select(features, scores, batch, masks), batch)
    torch.testing.assert_close(terms["smooth"], 8e-4 * (scores[:, 1:] - scores[:, :-1]).square().sum())
    torch.testing.assert_close(terms["sparsity"], 8e-3 * scores[:2].square().sum().sqrt())


def test_everything_is_trained_and_weights_switch_terms_off() -> None:
    model, batch = _model(), _batch(2, 2)
    torch.stack(list(model.training_loss(batch).values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    off = _model(contrast_weight=0, smooth=0, sparsity=0).training_loss(batch)
    assert {name for name, term in off.items() if term != 0} == {"bags"}


@pytest.mark.parametrize(("normal", "abnormal", "length"), [(1, 1, 1), (2, 1, 2), (1, 3, 5)])
def test_small_batches_and_short_videos(normal: int, abnormal: int, length: int) -> None:
    terms = _model().training_loss(_batch(normal, abnormal, crops=2, length=length))
    assert all(term.isfinite() for term in terms.values())


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(Unsupported, match="multiples of head_dim 4"):
        _model(dims=(8, 10))
    with pytest.raises(Unsupported, match="with depths and mixers"):
        _model(depths=(1,))


def test_official_checkpoint_names_and_sizes() -> None:
    def block(at: str, dim: int, mixer: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"0.weight": (dim, dim, 3), "0.bias": (dim,)}
        shapes |= {f"1.{key}": shape for key, shape in mixer.items()}
        shapes |= {"1.to_out.weight": (dim, dim, 1), "1.to_out.bias": (dim,)}
        shapes |= {"2.0.g": (1, dim, 1), "2.0.b": (1, dim, 1), "2.1.weight": (3 * dim, dim, 1), "2.1.bias": (3 * dim,)}
        shapes |= {"2.4.weight": (dim, 3 * dim, 1), "2.4.bias": (dim,)}
        return {at + key: shape for key, shape in shapes.items()}

    glance = {"norm.g": (1, 8, 1), "norm.b": (1, 8, 1), "to_qkv.weight": (24, 8, 1)}
    focus = {f"norm.{kind}": (12,) for kind in ("weight", "bias", "running_mean", "running_var")}
    focus |= {"norm.num_batches_tracked": (), "to_v.weight": (12, 12, 1)}
    focus |= {"rel_pos.weight": (3, 1, 7), "rel_pos.bias": (3,)}
    shapes = {"to_tokens.weight": (8, 5, 3), "to_tokens.bias": (8,), "to_mag.weight": (8, 1, 3), "to_mag.bias": (8,)}
    shapes |= block("stages.0.0.layers.0.", 8, glance) | block("stages.0.0.layers.1.", 8, glance)
    shapes |= block("stages.1.0.layers.0.", 12, focus)
    shapes |= {"stages.0.1.0.g": (1, 8, 1), "stages.0.1.0.b": (1, 8, 1)}
    shapes |= {"stages.0.1.1.weight": (12, 8, 1), "stages.0.1.1.bias": (12,)}
    shapes |= {"to_logits.0.weight": (12,), "to_logits.0.bias": (12,), "fc.weight": (1, 12), "fc.bias": (1,)}
    official = {f"module.{key}": torch.zeros(shape) for key, shape in shapes.items()}
    dim, sizes = MGFN.official_sizes(official)
    expected = {"dims": (8, 12), "depths": (2, 1), "mixers": ("glance", "focus"), "feedforward": 3}
    assert (dim, sizes) == (5, {**expected, "focus_kernel": 7, "head_dim": 4})
    model = _model(dim, **sizes)
    one_by_one = {k: v for key, value in official.items() for k, v in model.official_state({key: value}).items()}
    model.load_saved_state(one_by_one)
    assert len(one_by_one) == len(official)
    assert all(p.abs().sum() == 0 for p in model.parameters())


def test_official_size_and_schedule() -> None:
    model = MGFN(MGFN.configure("ucf-crime", "paper", {}), Task("t", ("normal", "riot"), ("", ""), 2048))
    assert sum(p.numel() for p in model.parameters()) == MGFN.card.parameters
    sampling = model.sampling()
    assert (sampling.epochs, sampling.steps_per_epoch, sampling.batch) == (1000, None, 16)
    assert (sampling.restart, sampling.crops, model.looks().every) == ("never", "together", None)
    assert _model(shuffle=True).sampling().restart == "epoch"
    adam = model.schedules(TrainingPlan(1000, 50, (50, 50)))[0].optimizer.param_groups[0]
    assert (adam["lr"], adam["weight_decay"]) == (1e-3, 5e-4)
