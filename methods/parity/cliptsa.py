"""CLIP-TSA's answers to its parity cases: `eval` and `loss`."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import UserError
from harness.method import Batch, Task
from harness.parity import Case, Computed
from methods.cliptsa import CLIPTSA, HardAttention
from methods.layers.magnitude import BagLosses, by_crops, magnitudes
from methods.parity.training import gradient_norms

# Stored features keep every 16th channel.
STRIDE = 16


def compute(case: Case) -> Computed:
    """Return the outputs of a case.

    Raises:
        UserError: the case is of a kind that this method has not.
    """
    variant = str(case.spec["variant"])
    if variant.startswith("eval"):
        return Computed(_eval(case))
    if variant.startswith("loss"):
        return _loss(case)
    raise UserError(f"{case.path}: cliptsa has no cases of variant {variant!r}")


def _model(case: Case) -> CLIPTSA:
    state, config = case.parameters(), case.config
    dim, sizes = CLIPTSA.official_sizes(state)
    settings = {
        **sizes,
        **{"kept": config["k"], "noises": config["num_samples"], "hard_attention": config.get("apply_HA", True)},
        **{"dropout": 0.0, "select_dropout": 0.0},
    }
    model = CLIPTSA(CLIPTSA.Config(**settings), Task(case.path.name, ("normal", "abnormal"), ("", ""), dim))
    model.load_saved_state(model.official_state(state))
    return model


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case).eval()
    drawn, noise = torch.from_numpy(case.draw("x")), torch.from_numpy(case.draw("noise"))
    crops, x = drawn.shape[1], drawn.flatten(0, 1)
    lengths = torch.full((len(x),), x.shape[1])
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
    model, state = _model(case).train(), case.parameters()
    drawn, noise = torch.from_numpy(case.draw("x")), torch.from_numpy(case.draw("noise"))
    crops, x = drawn.shape[1], drawn.flatten(0, 1)
    videos, normal = len(drawn), len(case.values["nlabel"])
    labels = torch.zeros(videos, 2)
    abnormal = torch.tensor([*case.values["nlabel"], *case.values["alabel"]])
    labels[:, 0], labels[:, 1] = 1 - abnormal, abnormal
    lengths = torch.full((len(x),), x.shape[1])
    batch = Batch(x, lengths, labels.repeat_interleave(crops, dim=0), normal * crops, crops)
    features, rows = model(x, lengths, noise)
    scores = by_crops(rows, crops).mean(dim=1)
    ones = torch.ones_like(scores)
    losses = BagLosses(model.config, features, scores, batch, (ones[:normal], ones[normal:]))
    terms = losses.terms()
    total = torch.stack(list(terms.values())).sum()
    total.backward()
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
