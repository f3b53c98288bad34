"""MGFN's answers to its parity cases: `eval` and `loss`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed

from ..layers.magnitude import by_crops
from ..mgfn import MGFN
from .adapter import build, by_kind
from .bags import bags, crops_of, fixed_masks, given_masks, selected_share
from .batches import whole
from .frames import frame_outputs
from .training import first_steps

NAMES = {
    "num_segments": "segments",
    "margin": "margin",
    "smooth": "smooth",
    "sparsity": "sparsity",
    "mag_ratio": "magnitude_ratio",
    "dim_head": "head_dim",
}


def _model(case: Case) -> tuple[MGFN, dict[str, Tensor]]:
    return build(MGFN, case, NAMES, select_dropout=0.0, **selected_share(case))


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    scores = []
    for name in case.values["videos"]:
        crops = crops_of(case, name)
        scores.append(model(crops, whole(crops))[1].mean(dim=0).numpy())
    return frame_outputs(scores, case.values["gt_intervals"])


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    batch = bags(case, model.config.segments)
    with torch.no_grad():
        features, rows = model(batch.features, batch.lengths)
        scores = by_crops(rows, batch.crops).mean(dim=1)
        masks = given_masks(case, scores)
        normal, abnormal = model.select(features, scores, batch, masks)
        terms = model.losses(scores, normal, abnormal, batch)
        contrast = model.contrast(normal, abnormal, batch.crops)
    model.load_saved_state(model.official_state(state))
    with fixed_masks("harness.methods.mgfn", masks):
        totals, gradnorm, moved = first_steps(model, batch, state, int(case.config["n_steps"]))
    with_norm = torch.cat([batch.features, batch.features.norm(dim=2, keepdim=True)], dim=2)
    outputs = {
        "idx_abnormal": abnormal.indices.sort(dim=1).values,
        "idx_normal": normal.indices.sort(dim=1).values,
        "score_abnormal": abnormal.scores[:, None],
        "score_normal": normal.scores[:, None],
        "scores": scores[..., None],
        "l1_abnormal": abnormal.features.abs().sum(dim=2),
        "l1_normal": normal.features.abs().sum(dim=2),
        "loss_cls": terms["bags"],
        "loss_con": contrast["apart"],
        "loss_con_n": contrast["normal"],
        "loss_con_a": contrast["abnormal"],
        "loss_smooth": terms["smooth"],
        "loss_sparse": terms["sparsity"],
        "total": totals[0],
        "total_per_step": totals,
        "pooled_sub": by_crops(with_norm, batch.crops)[:, ::3, ::4, ::512],
    }
    return Computed(outputs, gradnorm, moved)


compute = by_kind(eval=_eval, loss=_loss)
