"""UR-DMU: both attention maps, lengths, what is sampled, pairs, and the official names."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.methods.layers.dual_attention import DualAttention, Prior
from harness.methods.urdmu import URDMU, Memory
from harness.plugin import Batch, Task, TrainingPlan

SMALL = {"hidden": 8, "attention_width": 8, "feedforward": 6, "head_width": 4, "heads": 2, "dropout": 0.0}


def _model(dim: int = 5, **settings: Any) -> URDMU:
    torch.manual_seed(0)
    return URDMU(URDMU.Config(**{**SMALL, **settings}), Task("t", ("normal", "riot"), ("", ""), dim))


def _batch(normal: int, abnormal: int, length: int = 40) -> Batch:
    torch.manual_seed(1)
    labels = torch.tensor([[1.0, 0.0]] * normal + [[0.0, 1.0]] * abnormal)
    features = torch.randn(normal + abnormal, length, 5)
    return Batch(features, torch.full((len(labels),), length), labels, normal)


@pytest.mark.parametrize("length", [9, 700])
@pytest.mark.parametrize("prior", ["columns", "rows", "off"])
def test_attention_is_softmax_beside_a_map_of_distance(prior: Prior, length: int) -> None:
    torch.manual_seed(0)
    heads, width, valid = 2, 3, length - 2
    layer = DualAttention(4, heads, heads * width, 0.0, prior).eval()
    x = torch.randn(1, length, 4)
    with torch.no_grad():
        ours = layer(x, (torch.arange(length) < valid)[None])[0, :valid]
        parts = layer.project(x)[0, :valid].chunk(3 if prior == "off" else 4, dim=1)
        steps = torch.arange(valid, dtype=torch.float32)
        near = torch.exp(-(steps[:, None] - steps).abs() / math.e)
        near = near / near.sum(dim=0 if prior == "columns" else 1, keepdim=True)
        joined = []
        for head in range(heads):
            query, key, value, *by_distance = (part[:, head * width : (head + 1) * width] for part in parts)
            joined.append((query @ key.T / math.sqrt(width)).softmax(dim=1) @ value)
            joined += [near @ values for values in by_distance]
        expected = layer.out(torch.cat(joined, dim=1))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prior", ["columns", "rows", "off"])
def test_a_video_scores_the_same_alone_and_beside_longer_ones(prior: Prior) -> None:
    model = _model(prior=prior).eval()
    lengths = torch.tensor([1, 13, 61, 600])
    features = torch.randn(4, 600, 5)
    with torch.no_grad():
        together = model.predict(features, lengths).scores
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
    assert together.isfinite().all()
    assert 0 <= together.min() <= together.max() <= 1


def test_memory_says_how_well_it_knows_a_snippet() -> None:
    memory = Memory(20, 4, topk_divisor=16)
    x, encode = torch.randn(2, 3, 4), nn.Linear(4, 5)
    known, attention = memory(x)
    torch.testing.assert_close(attention, torch.sigmoid(x @ memory.bank.T / 2))
    torch.testing.assert_close(known, attention.sort(dim=2).values[..., -2:].mean(dim=2))
    torch.testing.assert_close(memory.says(attention, encode), encode(attention @ memory.bank))


@pytest.mark.parametrize(("sampled", "moved"), [("none", []), ("normal", [0, 1]), ("all", [0, 1, 2, 3, 4])])
def test_what_is_sampled(sampled: str, moved: list[int]) -> None:
    model, batch = _model(sampled=sampled), _batch(2, 3)
    first, second = (model(batch.features, batch.lengths, 2).scores for _ in range(2))
    assert (first != second).any(dim=1).nonzero().flatten().tolist() == moved
    noise = torch.zeros(len(moved) or 2, 40, 8)
    torch.testing.assert_close(model(batch.features, batch.lengths, 2, noise).scores, model(*_read(batch)).scores)
    assert torch.equal(model(*_read(batch)).scores, model(*_read(batch)).scores)


def _read(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.features, batch.lengths


def test_weights_switch_terms_off_and_everything_is_trained() -> None:
    batch = _batch(2, 2)
    model = _model()
    torch.stack(list(model.training_loss(batch).values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    off = _model(memory_weight=0, triplet_weight=0, kl_weight=0, distance_weight=0).training_loss(batch)
    assert {name for name, term in off.items() if term != 0} == {"classification"}


def test_divergence_is_summed_over_time_or_over_channels() -> None:
    batch = _batch(3, 3)
    summed = {}
    for axis in ("time", "channels"):
        model = _model(kl_over=axis)
        summed[axis] = model.terms(model(batch.features, batch.lengths, 3), batch)["kl"]
    torch.testing.assert_close(summed["time"] / 40, summed["channels"] / 8)


@pytest.mark.parametrize(("normal", "abnormal"), [(1, 3), (4, 2)])
def test_unequal_lists_pair_in_turn(normal: int, abnormal: int) -> None:
    model, batch = _model(sampled="none"), _batch(normal, abnormal)
    pairs = range(max(normal, abnormal))
    rows = torch.tensor([*(i % normal for i in pairs), *(normal + i % abnormal for i in pairs)])
    repeated = Batch(batch.features[rows], batch.lengths[rows], batch.labels[rows], len(pairs))
    ours, expected = (model.terms(model(*_read(b), b.normal), b) for b in (batch, repeated))
    torch.testing.assert_close(ours["triplet"], expected["triplet"])
    torch.testing.assert_close(ours["distance"], expected["distance"])


def test_shortest_training_videos() -> None:
    assert all(term.isfinite() for term in _model().training_loss(_batch(1, 1, length=1)).values())


def test_official_checkpoint_names_and_sizes() -> None:
    state = {
        "embedding.conv_1.0.weight": torch.zeros(8, 5, 3),
        "embedding.conv_1.0.bias": torch.zeros(8),
        "Amemory.memory_block": torch.zeros(7, 8),
        "Nmemory.memory_block": torch.zeros(9, 8),
        "cls_head.mlp.0.weight": torch.zeros(4, 16),
        "cls_head.mlp.0.bias": torch.zeros(4),
        "cls_head.mlp.2.weight": torch.zeros(1, 4),
        "cls_head.mlp.2.bias": torch.zeros(1),
    }
    for name in ("mu", "var"):
        state |= {f"encoder_{name}.0.weight": torch.zeros(8, 8), f"encoder_{name}.0.bias": torch.zeros(8)}
    for layer in range(3):
        at = f"selfatt.layers.{layer}."
        state |= {f"{at}{i}.norm.{kind}": torch.zeros(8) for i in (0, 1) for kind in ("weight", "bias")}
        state |= {f"{at}0.fn.to_qkv.weight": torch.zeros(48, 8), f"{at}0.fn.to_out.0.weight": torch.zeros(8, 24)}
        state |= {f"{at}0.fn.to_out.0.bias": torch.zeros(8), f"{at}1.fn.net.0.weight": torch.zeros(6, 8)}
        state |= {f"{at}1.fn.net.0.bias": torch.zeros(6), f"{at}1.fn.net.3.weight": torch.zeros(8, 6)}
        state |= {f"{at}1.fn.net.3.bias": torch.zeros(8)}
    official = {f"module.{key}": value for key, value in state.items()}
    dim, sizes = URDMU.official_sizes(official)
    model = _model(dim, **sizes)
    one_by_one = {k: v for key, value in official.items() for k, v in model.official_state({key: value}).items()}
    model.load_saved_state(one_by_one)
    assert len(one_by_one) == len(state)
    assert all(p.abs().sum() == 0 for p in model.parameters())


def test_official_size_and_schedule() -> None:
    model = URDMU(URDMU.configure("ucf-crime", "paper", {}), Task("t", ("normal", "riot"), ("", ""), 1024))
    assert sum(p.numel() for p in model.parameters()) == URDMU.card.parameters
    sampling, looks = model.sampling(), model.looks()
    steps = sampling.epochs * (sampling.steps_per_epoch or 0)
    assert (steps, sampling.restart, sampling.crops) == (3000, "exhausted", "apart")
    assert looks.every is not None
    assert len(range(looks.first, steps + 1, looks.every)) == 299
    adam = model.schedules(TrainingPlan(30, 100, (125, 126)))[0].optimizer.param_groups[0]
    assert (adam["lr"], adam["weight_decay"]) == (1e-4, 5e-5)
