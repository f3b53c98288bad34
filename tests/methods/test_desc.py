"""DeSC: reading of videos, causality, padding, both streams' mean, names of official checkpoints."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import Unsupported
from harness.methods.desc import _OFFICIAL, CausalBlock, DeSC, DeSCConfig, Stream, resample
from harness.plugin import Task
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower

CLASSES = ("normal", "riot", "abuse")
SMALL = {"visual_length": 16, "visual_layers": 1, "attn_window": 4, "tcn_levels": 2, "prompt_prefix": 2}
LENGTHS = (45, 1, 16, 17, 32, 9)


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return load_text_tower(None)


def _model(tower: TextTower, **settings: object) -> DeSC:
    torch.manual_seed(0)
    return DeSC(DeSCConfig(**{**SMALL, **settings}), Task("t", CLASSES, CLASSES, 512, tower)).eval()


def _videos() -> tuple[Tensor, Tensor]:
    lengths = torch.tensor(LENGTHS)
    features = torch.randn(len(LENGTHS), 45, 512, generator=torch.Generator().manual_seed(1)) * 0.4
    features[torch.arange(45) >= lengths[:, None]] = 0
    return features, lengths


def _predict(model: DeSC, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        out = model.predict(features, lengths)
    assert out.class_probs is not None
    return out.scores, out.class_probs


def _close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def _official(tower: TextTower, name: str, **settings: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A stream's state under our names, and the official file."""
    state = _model(tower, streams=(name,), **settings).saved_state()
    back = {ours: theirs for theirs, ours in _OFFICIAL.items() if theirs != "gmm_head."}
    back |= {"encoder.join.": "fusion_mlp.0."} if name == "sensitivity" else {"encoder.join.": "linear."}
    if settings.get("mixture") == "multigmp":
        back["head.linear."] = "gmm_head."
    official = {}
    for key, value in state.items():
        key = key.removeprefix(f"streams.{name}.")
        ours = next(prefix for prefix in back if key.startswith(prefix))
        official[f"module.{key.replace(ours, back[ours], 1)}"] = value
    return state, official | {"module.disAdj.sigma": torch.ones(1), "module.clipmodel.logit_scale": torch.ones(())}


def test_windows_of_each_length_are_read_and_averaged(tower: TextTower) -> None:
    model, (features, lengths) = _model(tower), _videos()
    scores, probs = _predict(model, features, lengths)
    assert scores.shape == (6, 45)
    assert ((scores >= 0) & (scores <= 1)).all()
    for row, length in enumerate(LENGTHS):
        starts = [*range(0, length - 16, 16), max(0, length - 16)]
        total, times = torch.zeros(length, 4), torch.zeros(length, 1)
        for start in starts:
            part = features[row, start : min(start + 16, length)]
            window = torch.zeros(1, 16, 512)
            window[0, : len(part)] = part
            with torch.inference_mode():
                total[start : start + len(part)] += model.read(window, torch.tensor([len(part)]))[0, : len(part)]
            times[start : start + len(part)] += 1
        _close(scores[row, :length], (total / times)[:, 0])
        _close(probs[row, :length], (total / times)[:, 1:])


def test_interpolation_is_that_of_torch(tower: TextTower) -> None:
    model, (features, lengths) = _model(tower, fit="interpolate", score="alignment"), _videos()
    scores, probs = _predict(model, features, lengths)
    for row, length in enumerate(LENGTHS):
        shrunk = F.interpolate(
            features[row : row + 1, :length].transpose(1, 2), size=16, mode="linear", align_corners=True
        )
        _close(resample(features, lengths, torch.full_like(lengths, 16), 16)[row], shrunk[0].T)
        with torch.inference_mode():
            values = model.read(shrunk.transpose(1, 2), torch.tensor([16]))
        back = F.interpolate(values.transpose(1, 2), size=length, mode="linear", align_corners=True)[0].T
        _close(probs[row, :length], back[:, 1:])
        _close(scores[row, :length], 1 - back[:, 1])


@pytest.mark.parametrize("fit", ["windows", "interpolate"])
def test_a_video_scores_alike_alone(tower: TextTower, fit: str) -> None:
    model, (features, lengths) = _model(tower, fit=fit), _videos()
    scores, probs = _predict(model, features, lengths)
    for row, length in enumerate(LENGTHS):
        one, one_probs = _predict(model, features[row : row + 1, :length], lengths[row : row + 1])
        _close(one[0], scores[row, :length])
        _close(one_probs[0], probs[row, :length])
    # Rows beyond the length are not read.
    dirty = torch.where(torch.arange(45)[:, None] < lengths[:, None, None], features, torch.ones(()))
    again, _ = _predict(model, dirty, lengths)
    for row, length in enumerate(LENGTHS):
        _close(again[row, :length], scores[row, :length])


def test_many_short_videos_go_through_in_groups(tower: TextTower) -> None:
    model = _model(tower, streams=("consistency",))
    features, lengths = torch.randn(70, 3, 512) * 0.4, torch.arange(70) % 3 + 1
    scores, _ = _predict(model, features, lengths)
    alone, _ = _predict(model, features[69:, :1], lengths[69:])
    assert scores.shape == (70, 3)
    _close(alone[0], scores[69, :1])


def test_score_is_the_mean_of_the_streams(tower: TextTower) -> None:
    both, (features, lengths) = _model(tower), _videos()
    alone = []
    for name in ("consistency", "sensitivity"):
        stream = _model(tower, streams=(name,))
        stream.load_saved_state({k: v for k, v in both.saved_state().items() if k.startswith(f"streams.{name}.")})
        alone.append(_predict(stream, features, lengths)[0])
    _close(_predict(both, features, lengths)[0], (alone[0] + alone[1]) / 2)
    assert not torch.allclose(alone[0], alone[1])


def test_convolutions_see_the_past_only() -> None:
    torch.manual_seed(0)
    block = CausalBlock(8, 3, 2)
    x = torch.randn(1, 20, 8)
    later = x.clone()
    later[0, 10] += 1
    changed = (block(later) - block(x))[0].abs().amax(dim=1) > 0
    # Two convolutions over 0, 2 and 4 snippets back reach 8 snippets ahead.
    assert changed.nonzero().flatten().tolist() == [10, 12, 14, 16, 18]


def test_graph_attention_is_the_same_with_and_without_gradients(tower: TextTower) -> None:
    (stream,) = _model(tower, streams=("sensitivity",), graph_layers=2).streams.values()
    x, lengths = torch.randn(2, 16, 512) * 0.4, torch.tensor([16, 5])
    with torch.inference_mode():
        fast = stream.encoder(x, lengths)[1]
    _close(stream.encoder(x, lengths)[1].detach(), fast)


@pytest.mark.parametrize("mixture", ["gmp", "multigmp"])
def test_mixture_heads(tower: TextTower, mixture: str) -> None:
    (stream,) = _model(tower, streams=("consistency",), mixture=mixture).streams.values()
    assert isinstance(stream, Stream)
    assert stream.head is not None
    visual = torch.randn(2, 4, 512)
    mean, spread = stream.head(visual)
    out = stream.head.linear(visual)
    expected = out.unflatten(-1, (2, 3)).unbind(-2) if mixture == "gmp" else out.unflatten(-1, (5, 2)).unbind(-1)
    torch.testing.assert_close(mean, expected[0].sigmoid())
    torch.testing.assert_close(spread, F.softplus(expected[1]) + 1e-6)


@pytest.mark.parametrize("mixture", ["gmp", "multigmp"])
def test_official_checkpoints_of_both_streams_merge(tower: TextTower, mixture: str) -> None:
    settings = {"graph_layers": 2, "mixture": mixture, "tcn_kernel": 3}
    whole = _model(tower, **settings)
    renamed: dict[str, Tensor] = {}
    sizes: dict[str, object] = {}
    for name in ("consistency", "sensitivity"):
        state, official = _official(tower, name, **settings)
        prefix = DeSC.official_stream(official)
        assert prefix == f"{name}."
        dim, found = DeSC.official_sizes(official)
        assert dim == 512
        sizes |= found
        for key, value in official.items():
            ours = whole.official_state({prefix + key: value})
            unused = any(re.fullmatch(pattern, key.removeprefix("module.")) for pattern in DeSC.unused_official)
            assert len(ours) == 1 - unused, key
            renamed |= ours
        assert all(torch.equal(renamed[key], state[key]) for key in state)
    whole.load_saved_state(renamed)
    expected = {"visual_length": 16, "visual_layers": 1, "mixture": mixture, "tcn_levels": 2}
    expected |= {"tcn_kernel": 3, "graph_layers": 2} | ({"components": 5} if mixture == "multigmp" else {})
    assert sizes == expected
    with pytest.raises(Unsupported, match="neither"):
        DeSC.official_stream({"gc1.weight": torch.ones(1)})


def test_settings_per_data_set(tower: TextTower) -> None:
    xd = DeSC.configure("xd-violence", "paper", {})
    assert isinstance(xd, DeSCConfig)
    assert (xd.fit, xd.score, xd.visual_layers, xd.attn_window, xd.mixture) == (
        "interpolate",
        "alignment",
        1,
        64,
        "multigmp",
    )
    assert (xd.tcn_levels, xd.tcn_kernel, xd.graph_layers) == (1, 3, 2)
    model = _model(tower)
    assert model.reading().window is None
    with pytest.raises(NotImplementedError):
        model.sampling()
