"""CLIP-TSA's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch

from ..cliptsa import CLIPTSA, HardAttention
from ..layers.magnitude import BagLosses, by_crops, magnitudes
from .adapter import build, by_kind
from .bags import magnitude_losses
from .batches import halves, two_classes, whole
from .training import gradient_norms, total_with_gradients, train

NAMES = {"k": "kept", "num_samples": "noises", "apply_HA": "hard_attention"}
# Stored features keep every 16th channel.
STRIDE = 16


def _model(case: Case) -> tuple[CLIPTSA, dict[str, Tensor]]:
    return build(CLIPTSA, case, NAMES, dropout=0.0, select_dropout=0.0)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    drawn, noise = torch.from_numpy(case.draw("x")), torch.from_numpy(case.draw("noise"))
    crops, x = drawn.shape[1], drawn.flatten(0, 1)
    lengths = whole(x)
    features, rows = model(x, lengths, noise)
    scores = by_crops(rows, crops).mean(dim=1)
    # The official code selects at test, too: three snippets, whatever the length.
    top = magnitudes(features, crops).topk(3, dim=1).indices
    outputs = {
        "scores": scores,
        "feat_magnitudes": magnitudes(features, crops),
        "score_abnormal": scores.gather(1, top).mean(dim=1, keepdim=True),
    }
    if isinstance(model.attention, HardAttention):
        weighed, before = model.attention(x, lengths, noise)
        outputs |= {"hard_att_out_sub": weighed[..., ::STRIDE], "attn_scores": before}
    return outputs


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    drawn, noise = torch.from_numpy(case.draw("x")), torch.from_numpy(case.draw("noise"))
    crops, x = drawn.shape[1], drawn.flatten(0, 1)
    normal = len(case.values["nlabel"])
    labels = two_classes(torch.tensor([*case.values["nlabel"], *case.values["alabel"]], dtype=torch.float32))
    lengths = whole(x)
    batch = Batch(x, lengths, labels.repeat_interleave(crops, dim=0), normal * crops, crops)
    features, rows = model(x, lengths, noise)
    scores = by_crops(rows, crops).mean(dim=1)
    ones = torch.ones_like(scores)
    losses = BagLosses(model.config, features, scores, batch, (ones[:normal], ones[normal:]))
    terms = losses.terms()
    total = total_with_gradients(terms)
    high, low = (each.features.mean(dim=1).norm(dim=1) for each in (losses.abnormal, losses.normal))
    outputs = {
        "loss_cls": terms["bags"],
        "rtfm_term_weighted": terms["magnitude"],
        "loss_abn": (model.config.margin - high).abs(),
        "loss_nor": low,
        "loss_sparse": terms["sparsity"],
        "loss_smooth": terms["smooth"],
        "total": total,
        "scores": scores,
        "score_abnormal": losses.abnormal.scores[:, None],
        "score_normal": losses.normal.scores[:, None],
        "feat_magnitudes": magnitudes(features, crops),
        "feat_select_abn_sub": losses.abnormal.features[..., ::STRIDE],
        "feat_select_nor_sub": losses.normal.features[..., ::STRIDE],
    }
    return Computed(outputs, gradient_norms(model, state))


def _train(case: Case) -> Computed:
    model, _ = _model(case)

    def test() -> dict[str, Any]:
        video, noise = torch.from_numpy(case.draw("test")), torch.from_numpy(case.draw("noise.test"))
        rows = video.flatten(0, 1)
        return {"test_scores": model(rows, whole(rows), noise)[1].mean(dim=0)}

    return train(
        case,
        model,
        lambda step: halves(case, f"x.step{step}"),
        lambda terms: magnitude_losses(model.config, terms),
        test,
        lambda step: _given(torch.from_numpy(case.draw(f"noise.step{step}"))),
    )


def _given(noise: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Let hard attention take this noise `[R, N, T]` instead of its own."""
    return patch.object(HardAttention, "noise", lambda attention, x: noise)


compute = by_kind(eval=_eval, loss=_loss, train=_train)
