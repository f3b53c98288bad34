"""DeepMIL's answers to its parity cases: `eval`, `loss`, `pool` and `train`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.training.fitting import pool_segments

from ..deepmil import DeepMIL
from .adapter import build, by_kind
from .bags import pooled_pairs
from .batches import halves, whole
from .frames import frame_outputs
from .training import first_steps, train

NAMES = {"num_segments": "segments", "smooth": "smooth", "sparsity": "sparsity"}


def _pool(case: Case) -> dict[str, Any]:
    length = int(case.config["length"])
    return {f"pool{length}:{name}": pool_segments(x, length) for name, x in case.inputs().items()}


def _model(case: Case) -> tuple[DeepMIL, dict[str, Tensor]]:
    return build(DeepMIL, case, NAMES, dropout=0.0)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    parts = []
    for name in case.values["videos"]:
        crops = torch.from_numpy(case.draw(name))
        parts.append(model.predict(crops, whole(crops)).scores.mean(dim=0).numpy())
    return frame_outputs(parts, case.values["gt_intervals"])


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    batch = pooled_pairs(case, model.config.segments)
    normal = batch.normal
    with torch.no_grad():
        scores = model(batch.features)
        terms = model.bag_terms(scores, batch.lengths, normal)
    best = scores.amax(dim=1)

    totals, gradnorm, moved = first_steps(model, batch, state, int(case.config["n_steps"]))
    outputs = {
        "smooth_per_bag": terms["smooth"],
        "sparsity_per_bag": terms["sparsity"],
        "hinge_per_bag": terms["hinge"],
        "scores": scores.flatten(),
        "max_normal": best[:normal],
        "max_abnormal": best[normal:],
        "total": totals[0],
        "total_per_step": totals,
        "pooled_sub": batch.features[:, :, ::256],
    }
    return Computed(outputs, gradnorm, moved)


def _train(case: Case) -> Computed:
    model, _ = _model(case)

    def test() -> dict[str, Any]:
        return {"test_scores": model(torch.from_numpy(case.draw("test"))[None])[0]}

    # Of its losses the official code has the sum alone.
    return train(case, model, lambda step: halves(case, f"x.step{step}"), lambda terms: {}, test)


compute = by_kind(eval=_eval, loss=_loss, pool=_pool, train=_train)
