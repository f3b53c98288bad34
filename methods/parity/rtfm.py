"""RTFM's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed

from ..layers.magnitude import BagLosses, by_crops, magnitudes
from ..rtfm import RTFM
from .adapter import build, by_kind
from .bags import bags, crops_of, fixed_masks, given_masks, magnitude_losses, selected_share
from .batches import halves, whole
from .frames import frame_outputs
from .training import first_steps, train

NAMES = {
    "num_segments": "segments",
    "margin": "margin",
    "alpha": "magnitude_weight",
    "smooth": "smooth",
    "sparsity": "sparsity",
}
# Running statistics are stored every 16th channel.
STRIDE = 16


def _model(case: Case) -> tuple[RTFM, dict[str, Tensor]]:
    return build(RTFM, case, NAMES, dropout=0.0, select_dropout=0.0, **selected_share(case))


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    scores, norms = [], []
    for name in case.values["videos"]:
        crops = crops_of(case, name)
        features, each = model(crops, whole(crops))
        scores.append(each.mean(dim=0).numpy())
        norms.append(magnitudes(features, len(crops))[0])
    return frame_outputs(scores, case.values["gt_intervals"]) | {"feat_magnitudes": torch.cat(norms)}


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    batch = bags(case, model.config.segments)
    with torch.no_grad():
        features, rows = model(batch.features, batch.lengths)
        scores = by_crops(rows, batch.crops).mean(dim=1)
        masks = given_masks(case, scores)
        losses = BagLosses(model.config, features, scores, batch, masks)
        terms, pairs = losses.terms(), losses.pairs()
    # The buffers after this one forward, under the official names.
    own = model.state_dict()
    running = {
        f"bn_{kind}_after:{theirs.removesuffix(f'.running_{kind}')}": own[ours][::STRIDE].clone()
        for kind in ("mean", "var")
        for theirs in state
        if theirs.endswith(f".running_{kind}")
        for ours in model.official_state({theirs: state[theirs]})
    }
    model.load_saved_state(model.official_state(state))
    with fixed_masks("harness.methods.rtfm", masks):
        totals, gradnorm, moved = first_steps(model, batch, state, int(case.config["n_steps"]))
    normal, abnormal = losses.normal, losses.abnormal
    outputs = {
        "idx_abnormal": abnormal.indices.sort(dim=1).values,
        "idx_normal": normal.indices.sort(dim=1).values,
        "score_abnormal": abnormal.scores[:, None],
        "score_normal": normal.scores[:, None],
        "scores": scores[..., None],
        "feat_magnitudes": magnitudes(features, batch.crops),
        "sel_abn_meanfeat_norm": abnormal.features.mean(dim=1).norm(dim=1),
        "sel_nor_meanfeat_norm": normal.features.mean(dim=1).norm(dim=1),
        "loss_cls": terms["bags"],
        "loss_rtfm": pairs.square().mean(),
        "loss_smooth": terms["smooth"],
        "loss_sparse": terms["sparsity"],
        "total": totals[0],
        "total_per_step": totals,
        **running,
    }
    return Computed(outputs, gradnorm, moved)


def _train(case: Case) -> Computed:
    model, _ = _model(case)

    def test() -> dict[str, Any]:
        rows = torch.from_numpy(case.draw("test")).flatten(0, 1)
        return {"test_scores": model(rows, whole(rows))[1].mean(dim=0)}

    return train(
        case,
        model,
        lambda step: halves(case, f"x.step{step}"),
        lambda terms: magnitude_losses(model.config, terms),
        test,
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
