"""CLIP-TSA: hard attention forward and backward, its noise, wide features, crops, lengths, official names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from harness.methods.cliptsa import CLIPTSA, HardAttention, PerturbedTopK
from harness.plugin import Batch, Task, TrainingPlan

SMALL = {"attention_width": 6, "widths": (6, 4), "noises": 7, "dropout": 0.0, "select_dropout": 0.0}


def _model(dim: int = 8, **settings: Any) -> CLIPTSA:
    torch.manual_seed(0)
    return CLIPTSA(CLIPTSA.Config(**{**SMALL, **settings}), Task("t", ("normal", "riot"), ("", ""), dim))


def _batch(normal: int, abnormal: int, length: int = 32, dim: int = 8) -> Batch:
    torch.manual_seed(2)
    labels = torch.tensor([[1.0, 0.0]] * normal + [[0.0, 1.0]] * abnormal)
    features = torch.randn(len(labels), length, dim)
    return Batch(features, torch.full((len(labels),), length), labels, normal)


def _attention(model: CLIPTSA) -> HardAttention:
    assert model.attention is not None
    return model.attention


def test_shares_and_their_gradient_by_hand() -> None:
    torch.manual_seed(0)
    rows, draws, length, scale, counts = 2, 5, 6, 0.3, [2, 4]
    scores = torch.rand(rows, length, requires_grad=True)
    noise, slope = torch.randn(rows, draws, length), torch.randn(rows, length)
    valid = torch.ones(rows, length, dtype=torch.bool)
    shares = PerturbedTopK.apply(scores, noise, torch.tensor(counts), valid, scale)  # type: ignore[no-untyped-call]
    (shares * slope).sum().backward()
    expected, gradient = torch.zeros(rows, length), torch.zeros(rows, length)
    for row in range(rows):
        for draw in range(draws):
            top = (scores[row] + scale * noise[row, draw]).topk(counts[row]).indices
            expected[row, top] += 1 / draws
            gradient[row, top] += (noise[row, draw] @ slope[row]) / (draws * scale)
    torch.testing.assert_close(shares, expected)
    torch.testing.assert_close(scores.grad, gradient)


@pytest.mark.parametrize(("kept", "length", "count"), [(0.29, 100, 28), (0.95, 60, 57), (0.01, 40, 1), (1.0, 9, 9)])
def test_how_many_are_kept(kept: float, length: int, count: int) -> None:
    model = _model(kept=kept)
    x, lengths = torch.ones(1, length, 8), torch.tensor([length])
    with torch.no_grad():
        shares = _attention(model)(x, lengths)[0][0, :, 0]
        torch.testing.assert_close(shares.sum(), torch.tensor(float(count)))
        capped = _attention(_model(kept=kept, kept_at_most=5).eval())(x, lengths)[0][0, :, 0]
    torch.testing.assert_close(capped.sum(), torch.tensor(float(min(count, 5))))


@pytest.mark.parametrize("count", [1, 7, 100])
def test_noise_at_test_is_fixed_and_begins_alike_at_any_length(count: int) -> None:
    attention = _attention(_model(noises=count).eval())
    before = torch.get_rng_state()
    whole = attention.noise(torch.zeros(2, 70, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(whole[0], whole[1])
    for length in (1, 3, 15, 16, 17, 33, 69):
        assert torch.equal(attention.noise(torch.zeros(1, length, 8))[0], whole[0, :, :length])
    other = _attention(_model(noises=count, test_noise_seed=1).eval()).noise(torch.zeros(1, 70, 8))
    assert not torch.equal(other[0], whole[0])
    drawn = attention.train().noise(torch.zeros(2, 70, 8))
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("settings", [{}, {"hard_attention": False}, {"embed_dim": 4}])
def test_a_video_scores_the_same_alone_and_beside_longer_ones(settings: dict[str, Any]) -> None:
    model = _model(kept=0.5, **settings).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.bias)
            nn.init.uniform_(module.weight)
    lengths = torch.tensor([1, 2, 7, 33])
    features = torch.randn(4, 33, 8)
    features[1] = 0
    with torch.no_grad():
        together = model.predict(features, lengths).scores
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
    assert 0 <= together.min() <= together.max() <= 1


def test_wider_features_are_brought_to_the_embedding_first() -> None:
    model = _model(dim=8, embed_dim=4, reduce_width=5).eval()
    x, lengths = torch.randn(2, 9, 8), torch.tensor([9, 9])
    narrow = _model(dim=4, embed_dim=4).eval()
    narrow.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("reduce.")})
    with torch.no_grad():
        hidden = (x @ model.reduce[0].weight.T + model.reduce[0].bias).relu()
        embedded = (hidden @ model.reduce[1].weight.T + model.reduce[1].bias).sigmoid()
        torch.testing.assert_close(model.predict(x, lengths).scores, narrow.predict(embedded, lengths).scores)
    assert len(_model(dim=4, embed_dim=4).reduce) == 0


def test_equal_crops_with_equal_noise_change_nothing() -> None:
    single, noise = _batch(2, 2), torch.randn(4, 7, 32)
    parts = (single.features, single.lengths, single.labels, noise)
    features, lengths, labels, noises = (values.repeat_interleave(3, dim=0) for values in parts)
    one = _model().training_loss(single, noise)
    three = _model().training_loss(Batch(features, lengths, labels, 6, 3), noises)
    for name, term in one.items():
        torch.testing.assert_close(term, three[name])


def test_everything_is_trained() -> None:
    model, batch = _model(embed_dim=4, kept=0.5), _batch(2, 2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):  # the non-local block starts as the identity, which hides it
            nn.init.uniform_(module.weight, 0.5, 1.5)
    torch.stack(list(model.training_loss(batch).values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("settings", [{}, {"hard_attention": False}, {"dilations": ()}, {"non_local": False}])
def test_shortest_training_videos(settings: dict[str, Any]) -> None:
    terms = _model(**settings).training_loss(_batch(1, 1, length=1))
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize("dim", [8, 20])
def test_official_checkpoint_names_and_sizes(dim: int) -> None:
    source = _model(dim, embed_dim=8, reduce_width=9)
    names = {"attention.": "hard_attention.scorer.", "reduce.0.": "mlp.fc1.", "reduce.1.": "mlp.fc2."}
    names |= {f"net.layers.{i}.": f"fc{i + 1}." for i in range(3)}
    names |= {f"net.aggregate.branches.{i}.": f"Aggregate.conv_{i + 1}." for i in range(3)}
    names |= {"net.aggregate.reduce.": "Aggregate.conv_4.0.", "net.aggregate.join.": "Aggregate.conv_5."}
    names |= {"net.aggregate.non_local.out.": "Aggregate.non_local.W."}
    names |= {"net.aggregate.non_local.": "Aggregate.non_local."}
    official = {}
    for key, value in source.state_dict().items():
        ours = next(name for name in names if key.startswith(name))
        official[f"module.{names[ours]}{key.removeprefix(ours)}"] = value
    if dim == 8:  # there, but not used
        official |= {"module.mlp.fc1.weight": torch.zeros(9, 8), "module.mlp.fc2.weight": torch.zeros(8, 9)}
    found, sizes = CLIPTSA.official_sizes(official)
    assert (found, sizes["embed_dim"], sizes["widths"], sizes["attention_width"]) == (dim, 8, (6, 4), 6)
    model = _model(found, **sizes)
    one_by_one = {k: v for key, value in official.items() for k, v in model.official_state({key: value}).items()}
    model.load_saved_state(one_by_one)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("family", "steps", "kept"), [("ucf-crime", 4000, 0.95), ("shanghaitech", 35_000, 0.01)])
def test_official_size_and_schedule(family: str, steps: int, kept: float) -> None:
    model = CLIPTSA(CLIPTSA.configure(family, "paper", {}), Task("t", ("normal", "riot"), ("", ""), 512))
    unused = 512 * 1024 + 1024 + 1024 * 512 + 512
    assert sum(p.numel() for p in model.parameters()) + unused == CLIPTSA.card.parameters
    sampling, looks = model.sampling(), model.looks()
    assert sampling.epochs * (sampling.steps_per_epoch or 0) == steps
    assert (sampling.batch, sampling.restart, sampling.crops) == (16, "exhausted", "together")
    assert (looks.first, looks.every, looks.over, model.config.kept) == (155, 5, "training", kept)
    adam = model.schedules(TrainingPlan(40, 100, (50, 50)))[0].optimizer.param_groups[0]
    assert (adam["lr"], adam["weight_decay"]) == (1e-3, 5e-3)
