"""PEL4VAD: lengths, blocks of rows, windows, smoothing, exact zeros, classes and prompts, and the official names."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from harness.errors import Unsupported
from harness.methods.layers import graphs
from harness.methods.pel4vad import PEL4VAD, Forward
from harness.plugin import Batch, Task
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower

SMALL = {"attention_width": 6, "embed_width": 7, "dropout": 0.0, "window": 5, "smoothing_window": 3}
PROMPTS = ("normal", "fire", "fighting")


@functools.cache
def _tower() -> TextTower:
    return load_text_tower(None)


def _model(dim: int = 8, **settings: Any) -> PEL4VAD:
    torch.manual_seed(0)
    return PEL4VAD(PEL4VAD.Config(**{**SMALL, **settings}), Task("t", PROMPTS, PROMPTS, dim, _tower()))


def _batch(classes: list[list[float]], length: int = 20) -> Batch:
    torch.manual_seed(1)
    features = torch.randn(len(classes), length, 8)
    return Batch(features, torch.full((len(classes),), length), torch.tensor(classes))


@pytest.mark.parametrize(
    ("context", "smoothing", "time_norm"),
    [("both", "slide", True), ("both", "fixed", False), ("local", "none", True), ("global", "fixed", True)],
)
def test_a_video_scores_the_same_alone_and_beside_longer_ones(context: str, smoothing: str, time_norm: bool) -> None:
    model = _model(context=context, smoothing=smoothing, smoothing_window=7, time_norm=time_norm).eval()
    lengths = torch.tensor([1, 13, 300])
    features = torch.randn(3, 300, 8)
    with torch.no_grad():
        together = model.predict(features, lengths).scores
        for row, length in enumerate(lengths.tolist()):
            alone = model.predict(features[row : row + 1, :length], lengths[row : row + 1]).scores[0]
            torch.testing.assert_close(together[row, :length], alone)
    assert ((together >= 0) & (together <= 1)).all()


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, features, valid = _model().eval(), torch.randn(2, 37, 8), torch.arange(37) < torch.tensor([[37], [20]])
    whole = model(features, valid).scores
    # Four rows at a time.
    monkeypatch.setattr(graphs, "_ENTRIES", 2 * 37 * 4)
    torch.testing.assert_close(model(features, valid).scores, whole)


@pytest.mark.parametrize(
    ("window", "kernel", "reach"), [(5, 1, range(8, 13)), (4, 1, range(9, 13)), (3, 3, range(9, 14))]
)
def test_local_context_and_a_causal_classifier(window: int, kernel: int, reach: range) -> None:
    """Which scores a change of snippet 10 reaches: row i sees from i - window // 2 on; the classifier looks back."""
    settings = {"context": "local", "time_norm": False, "window": window, "classifier_kernel": kernel}
    model, features = _model(**settings).eval(), torch.randn(1, 20, 8)
    changed = features.clone()
    changed[:, 10] += 1
    valid = torch.ones(1, 20, dtype=torch.bool)
    moved = model(features, valid).scores != model(changed, valid).scores
    assert moved[0].nonzero().flatten().tolist() == list(reach)


@pytest.mark.parametrize(
    ("smoothing", "window", "expected"),
    [
        ("none", 3, [0.3, 0.6, 0.9, 0.6, 0.3]),
        ("slide", 3, [0.6, 0.7, 0.6, 0.3, 0.1]),
        ("slide", 1, [0.3, 0.6, 0.9, 0.6, 0.3]),
        ("fixed", 3, [0.6, 0.6, 0.6, 0.3, 0.3]),
        ("fixed", 8, [0.3375] * 5),
    ],
)
def test_smoothing(smoothing: str, window: int, expected: list[float]) -> None:
    model = _model(smoothing=smoothing, smoothing_window=window)
    assert model.smoothed(torch.tensor([[0.3, 0.6, 0.9, 0.6, 0.3]]))[0].tolist() == pytest.approx(expected)


def test_exact_zeros_have_finite_gradients() -> None:
    model = _model()
    torch.nn.init.zeros_(model.attention.v.weight)
    torch.nn.init.zeros_(model.attention.v.bias)
    for length in (20, 1):
        batch = _batch([[1, 0, 0], [0, 1, 0]], length)
        zero = Batch(torch.zeros_like(batch.features), batch.lengths, batch.labels)
        for each in (batch, zero):
            model.zero_grad()
            torch.stack(list(model.training_loss(each).values())).sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_signed_roots_along_time() -> None:
    """Attention values +4 and -9 of a channel become 2 and -3, over their norm along time."""
    model = _model(attention_width=1, context="local", window=1)
    one = torch.zeros(8)
    one[0] = 1
    with torch.no_grad():
        for linear, weight in ((model.attention.v, one[None]), (model.attention.o, one[:, None])):
            linear.weight.copy_(weight)
            linear.bias.zero_()
        x = torch.tensor([4.0, -9.0])[None, :, None] * one
        found = model.attention(x, torch.ones(1, 2, dtype=torch.bool))
    assert found[0, :, 0].tolist() == pytest.approx([2 / 13**0.5, -3 / 13**0.5])


def test_normal_videos_count_by_their_highest_snippet() -> None:
    model, scores = _model(), torch.full((2, 20), 0.1)
    scores[:, 3], scores[:, 18:] = 0.7, 0.9
    batch = Batch(torch.zeros(2, 20, 8), torch.tensor([18, 18]), torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
    classes = torch.tensor([0, 1])
    terms = model.losses(Forward(scores, torch.randn(2, 20, 512)), batch, classes, *[torch.randn(2, 512)] * 2)
    # 18 snippets of an abnormal video: the two highest.
    expected = -(torch.tensor(0.3).log() + torch.tensor(0.4).log()) / 2
    torch.testing.assert_close(terms["bags"], expected)


def test_rows_of_the_prompt_loss() -> None:
    model = _model()
    out = Forward(torch.rand(3, 6), torch.randn(3, 6, 512))
    logits, ids = model.prompt_logits(out, torch.tensor([2, 0, 1]), model.prompts[:1].expand(3, -1), model.prompts)
    assert ids.tolist() == [2, 0, 0, 1, 0]
    assert logits.shape == (5, 5)
    # The foreground weighs high scores, the background low ones: both of the first video.
    weights = torch.stack([(10 * out.scores[0]).exp() - 1, (10 - 10 * out.scores[0]).exp() - 1])
    pooled = (weights / weights.sum(dim=1, keepdim=True)) @ out.visual[0]
    cosine = torch.nn.functional.cosine_similarity(pooled, model.prompts[[0]])
    torch.testing.assert_close(logits[:2, 1], cosine / 0.09)


def test_a_video_of_several_classes_counts_for_the_first() -> None:
    both, first, second = (
        _model().training_loss(_batch([[1, 0, 0], row])) for row in ([0, 1, 1], [0, 1, 0], [0, 0, 1])
    )
    assert both["prompts"] == first["prompts"] != second["prompts"]


def test_prompts_are_raw_text_features_that_checkpoints_leave_out() -> None:
    model = _model()
    with torch.no_grad():
        torch.testing.assert_close(model.prompts, _tower().encode(PROMPTS))
    assert not any(key.startswith(("prompts", "text.")) for key in model.saved_state())
    with pytest.raises(Unsupported, match="width"):
        _model(visual_width=256)


def test_switches() -> None:
    batch = _batch([[1, 0, 0], [0, 1, 0]])
    count = sum(p.numel() for p in _model().parameters())
    fewer = {"position_kernel": (False, 2), "context": ("global", 1)}
    for name, (value, parameters) in fewer.items():
        model = _model(**{name: value})
        assert count - sum(p.numel() for p in model.parameters()) == parameters
        assert all(term.isfinite() for term in model.training_loss(batch).values())
    assert not _model(prompt_weight=0.0).training_loss(batch)["prompts"]
    # Without the kernel a time-reversed video gets reversed context.
    model = _model(position_kernel=False, context="global")
    valid = torch.ones(2, 20, dtype=torch.bool)
    torch.testing.assert_close(
        model.attention(batch.features.flip(1), valid).flip(1), model.attention(batch.features, valid)
    )


def test_training_cuts_the_batch_to_its_longest_video() -> None:
    short = _batch([[1, 0, 0], [0, 1, 0]], 9)
    long = Batch(torch.cat([short.features, torch.zeros(2, 20, 8)], dim=1), short.lengths, short.labels)
    for one, other in zip(_model().training_loss(short).values(), _model().training_loss(long).values(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("family", "official"), [("ucf-crime", 1_209_149), ("xd-violence", 1_207_349), ("shanghaitech", 1_207_349)]
)
def test_official_sizes_and_names(family: str, official: int) -> None:
    config = PEL4VAD.configure(family, "paper", {})
    model = PEL4VAD(config, Task("t", PROMPTS, PROMPTS, 1024, _tower()))
    assert sum(p.numel() for p in model.parameters()) == official
    attention = "self_attention.self_attn"
    linears = [*(f"{attention}.{name}" for name in "qkvo"), "self_attention.linear1", "self_attention.linear2"]
    keys = [f"{name}.{kind}" for name in [*linears, "self_attention.norm", "classifier"] for kind in ("weight", "bias")]
    keys += [f"{attention}.alpha", "self_attention.loc_adj.w", "self_attention.loc_adj.b", "logit_scale"]
    # Key by key, with the prefix of parallel training; names and shapes find their way back.
    ours = {key: next(iter(model.official_state({f"module.{key}": torch.zeros(())}))) for key in keys}
    state = model.saved_state()
    assert sorted(ours.values()) == sorted(state)
    dim, sizes = PEL4VAD.official_sizes({f"module.{key}": state[name] for key, name in ours.items()})
    assert dim == 1024
    assert config.model_copy(update=sizes) == config
    assert model.logit_scale.exp().item() == pytest.approx(1 / config.temperature)
