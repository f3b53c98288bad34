"""HL-Net: lengths, blocks of rows, branches, losses by hand, the schedule, and the official checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.errors import Unsupported
from harness.methods.hlnet import Forward, HLNet
from harness.methods.layers import graphs
from harness.plugin import Batch, Task, TrainingPlan

SMALL = {"widths": (8, 6, 4), "online_widths": (5, 3), "dropout": 0.0}


def _model(dim: int = 5, **settings: Any) -> HLNet:
    torch.manual_seed(0)
    return HLNet(HLNet.Config(**{**SMALL, **settings}), Task("t", ("normal", "riot"), ("", ""), dim))


def _batch(lengths: list[int], padded: int) -> Batch:
    torch.manual_seed(1)
    features = torch.rand(len(lengths), padded, 5)
    features[torch.arange(padded) >= torch.tensor(lengths)[:, None]] = 0
    labels = torch.eye(2)[torch.arange(len(lengths)) % 2]
    return Batch(features, torch.tensor(lengths), labels)


@pytest.mark.parametrize("score", ["offline", "online"])
def test_a_video_scores_the_same_alone_and_beside_longer_ones(score: str) -> None:
    model = _model(score=score).eval()
    lengths = torch.tensor([1, 13, 600])
    features = torch.rand(3, 600, 5)
    with torch.no_grad():
        together = model.predict(features, lengths).scores
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
        chosen = getattr(model(features, lengths, masked=True), score).sigmoid()
        torch.testing.assert_close(together, chosen)
    assert ((together >= 0) & (together <= 1)).all()
    assert model.predict(torch.zeros(1, 3, 5), torch.tensor([3])).scores.isfinite().all()


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, features, lengths = _model().eval(), torch.rand(2, 37, 5), torch.tensor([37, 20])
    whole = model(features, lengths, masked=True)
    # Four rows at a time.
    monkeypatch.setattr(graphs, "_ENTRIES", 2 * 37 * 4)
    torch.testing.assert_close(model(features, lengths, masked=True).offline, whole.offline)


def test_only_the_online_branch_is_causal() -> None:
    model, features, lengths = _model().eval(), torch.rand(1, 12, 5), torch.tensor([12])
    later = features.clone()
    later[:, 8] += 1
    before, after = model(features, lengths, masked=True), model(later, lengths, masked=True)
    changed = (before.online != after.online)[0].nonzero().flatten().tolist()
    assert changed == [8, 9, 10, 11]
    assert (before.offline != after.offline)[0, :8].any()


@pytest.mark.parametrize("name", ["holistic", "localised", "scored"])
def test_branches_switch_off(name: str) -> None:
    model, alone = _model(**{name: False}), _model(**{n: n == name for n in ("holistic", "localised", "scored")})
    assert name not in model.branches
    assert list(alone.branches) == [name]
    batch = _batch([9, 7], 9)
    for each in (model, alone):
        torch.stack(list(each.training_loss(batch).values())).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in each.parameters())


def test_no_branch_at_all() -> None:
    with pytest.raises(Unsupported, match="one of its branches"):
        _model(holistic=False, localised=False, scored=False)


def test_losses_by_hand() -> None:
    # 17 valid snippets: the two highest logits count; 3 snippets: the highest. Padding never does.
    offline, online = torch.full((2, 18), -1.0), torch.zeros(2, 18)
    offline[0, [2, 5]] = torch.tensor([1.0, 3.0])
    offline[0, 17] = offline[1, 3:] = 9.0
    offline[1, 0] = 0.5
    batch = Batch(torch.zeros(2, 18, 5), torch.tensor([17, 3]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    terms = _model().losses(Forward(offline, online), batch)

    def sigmoid(value: float) -> Tensor:
        return torch.tensor(value).sigmoid()

    torch.testing.assert_close(terms["offline"], -(sigmoid(2.0).log() + (1 - sigmoid(0.5)).log()) / 2)
    torch.testing.assert_close(terms["online"], torch.tensor(2.0).log())
    first = (sigmoid(1.0) + sigmoid(3.0) + 15 * sigmoid(-1.0)) / 17
    second = (sigmoid(0.5) + 2 * sigmoid(-1.0)) / 3
    torch.testing.assert_close(terms["distill"], 5 * torch.tensor(2.0).log() * (first + second) / 2)


def test_distillation_teaches_the_online_branch_alone() -> None:
    model, batch = _model(), _batch([9, 7], 9)
    # Nor do the online scores, as a graph, learn from the offline loss.
    model.training_loss(batch)["offline"].backward()
    assert model.online[2].weight.grad is None
    model.zero_grad()
    model.training_loss(batch)["distill"].backward()
    assert model.online[2].weight.grad.abs().sum() > 0
    assert model.classifier.weight.grad is None
    assert not _model(distill_weight=0.0).training_loss(batch)["distill"]


def test_training_cuts_the_batch_to_its_longest_video() -> None:
    short, long = _batch([9, 7], 9), _batch([9, 7], 9)
    long = Batch(torch.cat([long.features, torch.zeros(2, 20, 5)], dim=1), long.lengths, long.labels)
    for one, other in zip(_model().training_loss(short).values(), _model().training_loss(long).values(), strict=True):
        torch.testing.assert_close(one, other)


def test_rates_fall_with_the_tenth_epoch() -> None:
    schedule = _model().schedules(TrainingPlan(12, 1, (1,)))[0]
    layers, last = ([p.numel() for p in group["params"]] for group in schedule.optimizer.param_groups[1:])
    assert (sum(layers), sum(last)) == (6 * 5 + 5 + 5 * 3 + 3, 3 * 5 + 1)
    rates = []
    for _ in range(12):
        rates.append([group["lr"] for group in schedule.optimizer.param_groups])
        schedule.optimizer.step()
        schedule.scheduler.step()
    assert rates[8] == pytest.approx([1e-4, 5e-5, 5e-5])
    assert rates[9:] == [pytest.approx([1e-5, 5e-6, 5e-6])] * 3


def test_official_checkpoint(shared: Path) -> None:
    state = torch.load(shared / "real" / "checkpoints" / "hlnet-xd.pkl", weights_only=True, map_location="cpu")
    assert sum(value.numel() for value in state.values()) == HLNet.card.parameters
    dim, sizes = HLNet.official_sizes({f"module.{key}": value for key, value in state.items()})
    assert (dim, HLNet.Config(**sizes)) == (1152, HLNet.Config())
    model = HLNet(HLNet.Config(**sizes), Task("t", ("normal", "riot"), ("", ""), dim)).eval()
    ours: dict[str, Tensor] = {}
    for key, value in state.items():
        found = model.official_state({f"module.{key}": value})
        unused = any(re.fullmatch(pattern, key.removeprefix("module.")) for pattern in HLNet.unused_official)
        assert len(found) == (0 if unused else 1), key
        ours |= found
    model.load_saved_state(ours)
    assert ours.keys() == model.state_dict().keys()
    with torch.no_grad():
        out = model.predict(torch.rand(2, 30, dim), torch.tensor([30, 11])).scores
    assert out.isfinite().all()
