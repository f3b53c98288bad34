"""BN-WVAD's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

from typing import Any

import torch

from harness.parity.cases import Case, Computed

from ..bnwvad import BNWVAD
from .adapter import build, by_kind
from .batches import halves, whole
from .training import gradient_norms, total_with_gradients, train

NAMES = {"ratio_sample": "sample_ratio", "ratio_batch": "batch_ratio"}


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = build(BNWVAD, case, NAMES)[0].eval()
    crops = torch.from_numpy(case.draw("x"))
    out = model(crops, whole(crops))
    scores = model.score(out)
    return {
        "scores": scores,
        "hidden_sub": out.snippets[:, ::5, ::16],
        "normal_scores": out.scores,
        "dist1": out.distances[0],
        "dist2": out.distances[1],
        "snippet_after_crop_mean": scores.mean(dim=0),
    }


def _loss(case: Case) -> Computed:
    model, state = build(BNWVAD, case, NAMES)
    videos = torch.from_numpy(case.draw("x"))
    normal = len(videos) // 2
    out = model.train()(videos, whole(videos))
    terms = model.losses(out, normal)
    total = total_with_gradients(terms)
    outputs: dict[str, Any] = {
        "total": total,
        "normal_loss": terms["normal"],
        "mpp_loss": terms["separation1"] + terms["separation2"],
        "pre_normal_scores": out.scores[:normal],
    }
    buffers = dict(model.head.named_buffers())
    for i, (features, distances) in enumerate(zip(out.features, out.distances, strict=True), start=1):
        pulled, pushed = model.select(distances, normal)
        outputs |= {
            f"triplet{i}_unweighted": model.separation(distances, normal),
            f"n_selected{i}": len(pushed),
            f"select_abn{i}_sum": features.flatten(0, 1)[pushed].sum(dim=0),
            f"select_nor{i}_sum": features.flatten(0, 1)[pulled].sum(dim=0),
            f"bn{i}_running_mean_after": buffers[f"layers.{i - 1}.norm.running_mean"],
            f"bn{i}_running_var_after": buffers[f"layers.{i - 1}.norm.running_var"],
        }
    return Computed(outputs, gradient_norms(model, state))


def _train(case: Case) -> Computed:
    model, _ = build(BNWVAD, case, NAMES)

    def test() -> dict[str, Any]:
        rows = torch.from_numpy(case.draw("test"))
        return {"test_scores": model.score(model(rows, whole(rows)))}

    return train(
        case,
        model,
        lambda step: halves(case, f"x.step{step}"),
        lambda terms: {"normal_loss": terms["normal"], "mpp_loss": terms["separation1"] + terms["separation2"]},
        test,
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
