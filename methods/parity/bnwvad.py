"""BN-WVAD's answers to its parity cases: `eval` and `loss`."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import UserError
from harness.method import Task
from harness.parity import Case, Computed
from methods.bnwvad import BNWVAD
from methods.parity.training import gradient_norms

NAMES = {"ratio_sample": "sample_ratio", "ratio_batch": "batch_ratio"}


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
    raise UserError(f"{case.path}: bnwvad has no cases of variant {variant!r}")


def _model(case: Case) -> BNWVAD:
    state = case.parameters()
    dim, sizes = BNWVAD.official_sizes(state)
    settings = {ours: case.config[theirs] for theirs, ours in NAMES.items() if theirs in case.config} | sizes
    model = BNWVAD(BNWVAD.Config(**settings), Task(case.path.name, ("normal", "abnormal"), ("", ""), dim))
    model.load_saved_state(model.official_state(state))
    return model


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case).eval()
    crops = torch.from_numpy(case.draw("x"))
    out = model(crops, torch.full((len(crops),), crops.shape[1]))
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
    model = _model(case).train()
    videos = torch.from_numpy(case.draw("x"))
    normal = len(videos) // 2
    out = model(videos, torch.full((len(videos),), videos.shape[1]))
    terms = model.losses(out, normal)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
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
    return Computed(outputs, gradient_norms(model, case.parameters()))
