"""RTFM: the multi-scale network, what is selected, each loss term by hand, crops, lengths, official names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.methods.layers.magnitude import BagLosses, magnitudes, random_masks, select
from harness.methods.layers.multiscale import NonLocal
from harness.methods.rtfm import RTFM
from harness.plugin import Batch, Task, TrainingPlan

SMALL = {"widths": (6, 4), "dropout": 0.0, "select_dropout": 0.0}


def _model(dim: int = 8, **settings: Any) -> RTFM:
    torch.manual_seed(0)
    return RTFM(RTFM.Config(**{**SMALL, **settings}), Task("t", ("normal", "riot"), ("", ""), dim))


def _scrambled(model: RTFM) -> RTFM:
    """With normalisations as after a training, so that padding and the non-local block would show."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
    return model.eval()


def _batch(normal: int, abnormal: int, crops: int = 1, length: int = 32) -> Batch:
    torch.manual_seed(2)
    labels = torch.tensor([[1.0, 0.0]] * normal + [[0.0, 1.0]] * abnormal).repeat_interleave(crops, dim=0)
    features = torch.randn(len(labels), length, 8)
    return Batch(features, torch.full((len(labels),), length), labels, normal * crops, crops)


def _losses(model: RTFM, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Features `[R, T, D]`, scores `[B, T]` and loss terms."""
    features, rows = model(batch.features, batch.lengths)
    scores = rows.view(-1, batch.crops, rows.shape[1]).mean(dim=1)
    masks = random_masks(scores, batch.normal // batch.crops, 0.0, True)
    return features, scores, BagLosses(model.config, features, scores, batch, masks).terms()


def test_non_local_block_weighs_all_snippets_by_their_products() -> None:
    torch.manual_seed(0)
    block, x, valid = NonLocal(6, 3).eval(), torch.randn(1, 9, 6), 7
    with torch.no_grad():
        inside = (torch.arange(9) < valid).float()[None, :, None]
        ours = block(x, inside)[0, :valid]
        theta, phi, g = (layer(x)[0, :valid] for layer in (block.theta, block.phi, block.g))
        mixed = (theta @ phi.T / valid) @ g
        torch.testing.assert_close(ours, block.out(mixed[None])[0] + x[0, :valid])
        aggregate = _model(24).net.aggregate
        assert aggregate is not None
        assert aggregate.non_local is not None
        assert torch.equal(aggregate.non_local(x, inside), x)  # before training


@pytest.mark.parametrize("dim", [8, 10, 3])
def test_a_video_scores_the_same_alone_and_beside_longer_ones(dim: int) -> None:
    model = _scrambled(_model(dim))
    lengths = torch.tensor([1, 2, 7, 33])
    features = torch.randn(4, 33, dim)
    features[1] = 0
    with torch.no_grad():
        together = model.predict(features, lengths).scores
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
    assert 0 <= together.min() <= together.max() <= 1


def test_all_crops_give_the_same_snippets() -> None:
    torch.manual_seed(0)
    videos, crops, length = 2, 3, 7
    features, scores = torch.randn(videos * crops, length, 4), torch.rand(videos, length)
    mask = torch.rand(videos, length)
    chosen = select(features, scores, crops, 2, mask)
    for video in range(videos):
        rows = features[video * crops : (video + 1) * crops]
        order = (rows.norm(dim=2).mean(dim=0) * mask[video]).argsort(descending=True)[:2]
        assert chosen.indices[video].tolist() == order.tolist()
        torch.testing.assert_close(chosen.scores[video], scores[video, order].mean())
        for crop in range(crops):
            assert torch.equal(chosen.features[crop * videos + video], rows[crop, order])


@pytest.mark.parametrize(("normal", "abnormal"), [(2, 2), (2, 3), (3, 1)])
def test_loss_terms_by_hand(normal: int, abnormal: int) -> None:
    crops, batch = 2, _batch(normal, abnormal, crops=2)
    model = _model(margin=5.0)
    with torch.no_grad():
        features, scores, terms = _losses(model, batch)
    order = magnitudes(features, crops).argsort(dim=1, descending=True)[:, :3]
    means = torch.stack([scores[i, order[i]].mean() for i in range(normal + abnormal)])
    bags = -torch.cat([(1 - means[:normal]).log(), means[normal:].log()]).mean()
    norms = torch.stack([features[i, order[i // crops]].mean(dim=0).norm() for i in range(len(features))])
    apart = []
    for pair in range(max(normal, abnormal)):
        for crop in range(crops):
            low = norms[pair % normal * crops + crop]
            high = norms[(normal + pair % abnormal) * crops + crop]
            apart.append(((5 - high).abs() + low) ** 2)
    suspect = scores[normal:]
    torch.testing.assert_close(terms["bags"], bags)
    torch.testing.assert_close(terms["magnitude"], 1e-4 * torch.stack(apart).mean())
    torch.testing.assert_close(terms["sparsity"], 8e-3 * suspect.square().sum().sqrt())
    within = (suspect[:, 1:] - suspect[:, :-1]).square().sum()
    across = (suspect[1:, 0] - suspect[:-1, -1]).square().sum()
    torch.testing.assert_close(terms["smooth"], 8e-4 * (within + across))
    with torch.no_grad():
        apart_videos = _losses(_model(smooth_across_videos=False), batch)[2]
    torch.testing.assert_close(apart_videos["smooth"], 8e-4 * within)


def test_equal_crops_change_nothing() -> None:
    single = _batch(2, 2)
    twice = Batch(
        *(values.repeat_interleave(3, dim=0) for values in (single.features, single.lengths, single.labels)), 6, 3
    )
    one, three = (_model().training_loss(batch) for batch in (single, twice))
    for name, term in one.items():
        torch.testing.assert_close(term, three[name])


def test_random_masks_choose_other_snippets_in_training_only() -> None:
    torch.manual_seed(0)
    scores = torch.rand(5, 32)
    normal, abnormal = random_masks(scores, 2, 0.7, True)
    assert (normal.shape, abnormal.shape) == ((2, 32), (3, 32))
    assert {0.0, round(1 / 0.3, 4)} == {round(value, 4) for value in torch.cat([normal, abnormal]).flatten().tolist()}
    assert all((mask == 1).all() for mask in random_masks(scores, 2, 0.7, False))


def test_everything_is_trained_and_weights_switch_terms_off() -> None:
    model, batch = _model(), _batch(2, 2)
    # The non-local block starts as the identity: its normalisation hides it from the first gradient.
    torch.stack(list(_scrambled(model).train().training_loss(batch).values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    off = _model(magnitude_weight=0, smooth=0, sparsity=0).training_loss(batch)
    assert {name for name, term in off.items() if term != 0} == {"bags"}


@pytest.mark.parametrize("settings", [{"dilations": ()}, {"non_local": False}, {"dilations": (), "non_local": False}])
def test_halves_of_the_network_switch_off(settings: dict[str, Any]) -> None:
    terms = _model(**settings).training_loss(_batch(1, 1, length=1))
    assert all(term.isfinite() for term in terms.values())


def test_input_scale_multiplies_the_features() -> None:
    x, lengths = torch.randn(1, 5, 8), torch.tensor([5])
    plain, scaled = _model().eval(), _model(input_scale=3.0).eval()
    torch.testing.assert_close(plain.predict(3 * x, lengths).scores, scaled.predict(x, lengths).scores)


def test_official_checkpoint_names_and_sizes() -> None:
    norm = {"weight": 2, "bias": 2, "running_mean": 2, "running_var": 2}
    state = {
        **{
            f"Aggregate.conv_{i}.0.{kind}": torch.zeros(*shape)
            for i in (1, 2, 3)
            for kind, shape in (("weight", (2, 8, 3)), ("bias", (2,)))
        },
        **{f"Aggregate.conv_{i}.2.{kind}": torch.zeros(size) for i in (1, 2, 3) for kind, size in norm.items()},
        **{f"Aggregate.conv_5.2.{kind}": torch.zeros(8) for kind in norm},
        **{f"Aggregate.non_local.W.1.{kind}": torch.zeros(2) for kind in norm},
        **{f"Aggregate.non_local.{part}.weight": torch.zeros(1, 2, 1) for part in ("g", "theta", "phi")},
        **{f"Aggregate.non_local.{part}.bias": torch.zeros(1) for part in ("g", "theta", "phi")},
        "Aggregate.non_local.W.0.weight": torch.zeros(2, 1, 1),
        "Aggregate.non_local.W.0.bias": torch.zeros(2),
        "Aggregate.conv_4.0.weight": torch.zeros(2, 8, 1),
        "Aggregate.conv_5.0.weight": torch.zeros(8, 8, 3),
        **{"fc1.weight": torch.zeros(6, 8), "fc1.bias": torch.zeros(6), "fc2.weight": torch.zeros(5, 6)},
        **{"fc2.bias": torch.zeros(5), "fc3.weight": torch.zeros(1, 5), "fc3.bias": torch.zeros(1)},
    }
    norms = ["conv_1.2", "conv_2.2", "conv_3.2", "conv_5.2", "non_local.W.1"]
    state |= {f"Aggregate.{name}.num_batches_tracked": torch.zeros((), dtype=torch.long) for name in norms}
    official = {f"module.{key}": value for key, value in state.items()}
    dim, sizes = RTFM.official_sizes(official)
    assert (dim, sizes) == (8, {"widths": (6, 5)})
    model = _model(dim, **sizes)
    one_by_one = {k: v for key, value in official.items() for k, v in model.official_state({key: value}).items()}
    model.load_saved_state(one_by_one)
    assert len(one_by_one) == len(state)
    assert all(p.abs().sum() == 0 for p in model.parameters())


def test_official_size_and_schedule() -> None:
    task = Task("t", ("normal", "riot"), ("", ""), 2048)
    model = RTFM(RTFM.configure("ucf-crime", "paper", {}), task)
    assert sum(p.numel() for p in model.parameters()) == RTFM.card.parameters
    sampling, looks = model.sampling(), model.looks()
    steps = sampling.epochs * (sampling.steps_per_epoch or 0)
    assert (steps, sampling.batch, sampling.restart, sampling.crops) == (15_000, 32, "exhausted", "together")
    assert looks.every is not None
    assert len(range(looks.first, steps + 1, looks.every)) == 2960
    adam = model.schedules(TrainingPlan(150, 100, (25, 25)))[0].optimizer.param_groups[0]
    assert (adam["lr"], adam["weight_decay"]) == (1e-3, 5e-3)
