"""MACIL-SD: lengths, the block, contrast and losses by hand, lending of weights, resuming, the official checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.errors import Unsupported
from harness.methods.cross_block import CrossBlock
from harness.methods.macilsd import MACILSD
from harness.methods.stream_contrast import Stream, contrast
from harness.parity.case import Case
from harness.plugin import Batch, Looks, Size, Task, TrainingPlan
from harness.training.loop import train
from harness.training.sampling import Batches
from harness.training.selection import Selector
from harness.weights.checkpoints import read_header
from harness.weights.convert import convert
from tests.tiny import split

SMALL = {"hidden": 8, "feedforward": 6, "heads": 2, "dropout": 0.0}
TASK = Task("t", ("normal", "riot"), ("", ""), 7, audio_dim=3)


def _model(**settings: Any) -> MACILSD:
    torch.manual_seed(0)
    return MACILSD(MACILSD.Config(**{**SMALL, **settings}), TASK)


def _batch(lengths: list[int], padded: int) -> Batch:
    features = torch.randn(len(lengths), padded, 7, generator=torch.Generator().manual_seed(1))
    features[torch.arange(padded) >= torch.tensor(lengths)[:, None]] = 0
    labels = torch.eye(2)[torch.arange(len(lengths)) % 2]
    return Batch(features, torch.tensor(lengths), labels)


@pytest.mark.parametrize("score", ["both", "pictures"])
def test_a_video_scores_the_same_alone_and_beside_longer_ones(score: str) -> None:
    model, batch = _model(score=score).eval(), _batch([1, 13, 60], 60)
    with torch.no_grad():
        together = model.predict(batch.features, batch.lengths).scores
        for row, length in enumerate(batch.lengths.tolist()):
            alone = model.predict(batch.features[row : row + 1, :length], batch.lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
        out = model(batch.features, batch.lengths, masked=True)
        torch.testing.assert_close(together, (out.logits if score == "both" else out.alone).sigmoid())
    assert model.predict(torch.zeros(1, 3, 7), torch.tensor([3])).scores.isfinite().all()


def test_without_sound_only_the_pictures_count() -> None:
    features = _batch([9], 9).features
    silent = features.clone()
    silent[:, :, 4:] = 0
    for score, heard in (("both", True), ("pictures", False)):
        model = _model(score=score).eval()
        with torch.no_grad():
            scores = [model.predict(each, torch.tensor([9])).scores for each in (features, silent)]
        assert torch.equal(*scores) != heard


def test_the_block_by_hand() -> None:
    torch.manual_seed(0)
    block = CrossBlock(8, 6, 2, 0.0)
    for norm in block.norms:
        norm.weight.data = torch.rand(8) + 0.5
    x, context = torch.randn(1, 5, 8), torch.randn(1, 7, 8)
    query, key, value = block.query(block.norms[0](x)), block.key(context), block.value(context)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (query[0, :, part] @ key[0, :, part].T / 2).softmax(dim=1)
        heads.append(weights @ value[0, :, part])
    first = x + block.out(torch.cat(heads, dim=1))[None]
    second = first + block.narrow(block.widen(block.norms[1](first)).relu())
    torch.testing.assert_close(block(x, context, None), second)
    dropping = CrossBlock(8, 6, 2, 1e-6)  # the way that drops attention weights
    dropping.load_state_dict(block.state_dict())
    torch.testing.assert_close(dropping.train()(x, context, None), second)


def test_projections_start_equal_and_are_not_one() -> None:
    block = _model().both.block
    for other in (block.key, block.value, block.out):
        assert torch.equal(block.query.weight, other.weight)
        assert torch.equal(block.query.bias, other.bias)
        assert block.query.weight is not other.weight


def _streams(lengths: list[int]) -> dict[str, Stream]:
    size = (len(lengths), max(lengths))
    generator = torch.Generator().manual_seed(2)
    return {
        name: Stream(torch.randn(*size, 4, generator=generator), torch.rand(size, generator=generator))
        for name in ("sound", "pictures")
    }


def test_the_contrast_by_hand() -> None:
    lengths, abnormal = [18, 3, 20], [True, False, True]
    streams = _streams(lengths)
    events, background, normal = ({name: [] for name in streams} for _ in range(3))
    for name, stream in streams.items():
        for video, length in enumerate(lengths):
            count = length // 16 + 1
            order = stream.scores[video, :length].argsort(descending=True)
            rows = stream.rows[video]
            background[name] += list(rows[order[-count:]])
            if abnormal[video]:  # as often as it has rows
                events[name] += [rows[order[:count]].mean(dim=0)] * count
            else:
                normal[name] += list(rows[order[:count]])
    found = contrast(streams, torch.tensor(lengths), torch.tensor(abnormal), 16, 0.1)
    for name, other in (("sound", "pictures"), ("pictures", "sound")):
        for kind, rows in (("background", background[other]), ("normal", normal[other])):
            losses = []
            for query, match in zip(events[name], events[other], strict=True):
                near = (F.cosine_similarity(query, match, dim=0) / 0.1).exp()
                far = sum((F.cosine_similarity(query, row, dim=0) / 0.1).exp() for row in rows)
                losses.append(-(near / (near + far)).log())
            torch.testing.assert_close(found[name, kind], torch.stack(losses).mean())


@pytest.mark.parametrize("side", [True, False])
def test_videos_on_one_side_are_no_contrast(side: bool) -> None:
    streams = _streams([18, 3])
    for stream in streams.values():
        stream.rows.requires_grad_()
    terms = contrast(streams, torch.tensor([18, 3]), torch.tensor([side, side]), 16, 0.1)
    total = torch.stack(list(terms.values())).sum()
    assert total == 0
    total.backward()
    assert all(not stream.rows.grad.any() for stream in streams.values())


def test_a_row_without_a_picture_makes_a_video_shorter_and_batches_are_cut() -> None:
    batch = _batch([6, 4], 9)
    batch.features[0, 2, :4] = 0
    cut = _model().cut(batch)
    assert cut.lengths.tolist() == [5, 4]
    assert cut.features.shape == (2, 5, 7)
    nothing = _model().cut(dataclasses.replace(batch, features=torch.zeros_like(batch.features)))
    assert nothing.lengths.tolist() == [1, 1]
    assert all(term.isfinite() for term in _model().training_loss(nothing).values())


def test_the_contrast_grows_with_the_epochs_up_to_its_limit() -> None:
    model, batch = _model(), _batch([9, 7, 6], 9)
    with torch.no_grad():  # videos of both sides
        scores = model.video_scores(model(batch.features, batch.lengths).logits, batch.lengths)
        model.both.classifier.bias -= scores.logit().median() / 2 + 1e-3
    assert model.training_loss(batch)["normal"] == 0
    schedules = model.schedules(TrainingPlan(50, 1, (1,)))
    values = []
    for epoch in (1, 15, 40):
        schedules[0].scheduler.last_epoch = epoch
        cut = model.cut(batch)
        out = model(cut.features, cut.lengths)
        apart = model.contrast(out, cut.lengths)
        terms = model.losses(out, cut)
        values.append(
            [
                (terms[kind] / (apart["sound", kind] + apart["pictures", kind])).item()
                for kind in ("background", "normal")
            ]
        )
    np.testing.assert_allclose(values, [[0.1] * 2, [1.5] * 2, [1.5] * 2], rtol=1e-5)


def test_each_network_learns_from_its_own_losses() -> None:
    model, batch = _model(), _batch([9, 7], 9)
    model.training_loss(batch)["alone"].backward()
    assert all(p.grad is None for p in model.both.parameters())
    assert all(p.grad is not None for p in model.alone.parameters())


def test_rates_and_lending_over_a_training() -> None:
    model = _model(epochs=3)
    model.alone.classifier.weight.data += 1
    schedules = model.schedules(TrainingPlan(3, 1, (1,)))
    sound = model.both.sound.weight.detach().clone()
    expected = {name: p.detach().clone() for name, p in model.both.named_parameters()}
    for epoch in range(3):
        factor = (1 + math.cos(math.pi * epoch / 60)) / 2
        rates = [group["lr"] for schedule in schedules for group in schedule.optimizer.param_groups]
        assert rates == pytest.approx([4e-4 * factor, 8e-5 * factor])
        kept = 1 - 0.045 * (1 + math.cos(math.pi * epoch / 3))
        for name, weight in model.alone.named_parameters():
            expected[name] = kept * expected[name] + (1 - kept) * weight.detach()
        for schedule in schedules:
            schedule.optimizer.step()
            schedule.scheduler.step()
        for name, weight in model.both.named_parameters():
            torch.testing.assert_close(weight.detach(), expected[name])
    assert torch.equal(model.both.sound.weight, sound)


def _trained(selector: Selector, checkpoint: Path | None = None, stop: int = 0) -> tuple[MACILSD, list[Any]]:
    model = _model(length=8, batch=4, epochs=3, dropout=0.1, lr=0.01, pictures_lr=0.01)
    batches = Batches(split([9, 5] * 6, dim=7), np.arange(12), model.sampling(), 0, "tiny-set")

    def interrupt(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    return model, train(model, batches, selector, checkpoint=checkpoint, progress=interrupt)


def test_a_training_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, records = _trained(Selector("last", Looks(), None, ""))
    with pytest.raises(KeyboardInterrupt):
        _trained(Selector("last", Looks(), None, ""), tmp_path / "resume.pt", stop=5)
    resumed, again = _trained(Selector("last", Looks(), None, ""), tmp_path / "resume.pt")
    assert [record["terms"] for record in again] == [record["terms"] for record in records]
    assert again[2]["terms"]["background"] > 0
    for name, value in whole.saved_state().items():
        assert torch.equal(value, resumed.saved_state()[name]), name


def test_an_epochs_look_sees_what_was_lent_at_its_end() -> None:
    seen: list[torch.Tensor] = []

    def evaluate(method: Any) -> float:
        seen.append(method.both.classifier.weight.detach().clone())
        return 0.5

    _trained(Selector("val", Looks(), evaluate, "auc"))
    whole, _ = _trained(Selector("last", Looks(), None, ""))
    assert len(seen) == 3
    assert torch.equal(seen[-1], whole.both.classifier.weight)


def test_parts_switch_off() -> None:
    batch = _batch([9, 7], 9)
    assert set(_model().training_loss(batch)) == {"bags", "background", "normal", "alone"}
    assert set(_model(contrast_limit=0.0).training_loss(batch)) == {"bags", "alone"}
    assert set(_model(self_distillation=False).training_loss(batch)) == {"bags", "background", "normal"}
    # To score by pictures it has to be there, but lends nothing.
    apart = _model(self_distillation=False, score="pictures")
    before = apart.both.classifier.weight.detach().clone()
    for schedule in apart.schedules(TrainingPlan(3, 1, (1,))):
        schedule.optimizer.step()
        schedule.scheduler.step()
    assert torch.equal(apart.both.classifier.weight, before)


def test_what_it_cannot_run_on() -> None:
    with pytest.raises(Unsupported, match="needs features of sound"):
        MACILSD.check(Task("t", ("normal", "riot"), ("", ""), 7))
    with pytest.raises(Unsupported, match="8 hidden channels among 3 heads"):
        _model(heads=3)


def test_sizes() -> None:
    model = MACILSD(MACILSD.Config(), dataclasses.replace(TASK, dim=1152, audio_dim=128))
    both, alone = (sum(p.numel() for p in part.parameters()) for part in (model.both, model.alone))
    idle = 99_584
    assert (both, alone) == (347_009 - idle, 330_497 - idle)
    assert Size.of(model).total == both + alone
    assert MACILSD.card.parameters == 347_009


def test_official_checkpoint(shared: Path, tmp_path: Path, harness: Callable[..., tuple[int, str, str]]) -> None:
    path = shared / "real" / "checkpoints" / "macil-sd-xd.pkl"
    converted = convert([path], "macilsd", None, {}, None, pytest.fail)
    model = converted.method.eval()
    assert isinstance(model, MACILSD)
    assert (converted.header.dim, converted.header.audio_dim) == (1152, 128)
    assert model.config == MACILSD.Config(self_distillation=False)
    assert {name.split(".")[0] for name in converted.unused} <= {"multiheadattn", "feedforward", "cma"}
    # The inputs that the numbers below were computed from are drawn as those of parity cases.
    inputs = [
        {"name": name, "shape": shape, "mean": 0.0, "std": 0.5, "transform": "abs"}
        for name, shape in (("video0", [5, 12, 1024]), ("audio0", [12, 128]))
    ]
    case = Case(path, {"seed": 7, "inputs": inputs, "parameters": []}, {})
    pictures, sound = (torch.from_numpy(case.draw(name)) for name in ("video0", "audio0"))
    with torch.no_grad():
        logits = model(torch.cat([pictures[:1], sound[None]], dim=2), torch.tensor([12])).logits[0]
    expected = [
        *(-10.847195, -10.806493, -11.144377, -10.988157, -11.361606, -10.397102),
        *(-11.856520, -11.462457, -10.552630, -10.989964, -11.096942, -10.832476),
    ]
    torch.testing.assert_close(logits, torch.tensor(expected), rtol=0, atol=2e-5)
    ours = tmp_path / "ours.safetensors"
    code, out, _ = harness("convert", str(path), "--method", "macilsd", "--out", str(ours))
    assert (code, "1152-d features" in out) == (0, True)
    header = read_header(ours)
    assert header is not None
    assert (header.dim, header.audio_dim) == (1152, 128)
