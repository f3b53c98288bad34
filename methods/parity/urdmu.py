"""UR-DMU's answers to its parity cases: `eval`, `loss`, `pool` and `train`."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.training.fitting import pool_segments

from ..urdmu import URDMU
from .adapter import build, by_kind
from .bags import pooled_pairs
from .batches import halves, whole
from .frames import frame_outputs
from .training import first_steps, train

# What the official configuration calls otherwise.
NAMES = {"num_segments": "segments", "margin": "distance_margin"}
WEIGHTS = ("memory", "triplet", "kl", "distance")
LOSSES = {
    "loss_frame": "classification",
    "loss_A": "abnormal_in_abnormal",
    "loss_N_Aatt": "abnormal_in_normal",
    "loss_N": "normal_in_normal",
    "loss_A_N": "normal_in_abnormal",
    "loss_triplet": "triplet",
    "loss_kl": "kl",
    "loss_distance": "distance",
}


def given(noise: NDArray[np.float32]) -> contextlib.AbstractContextManager[Any]:
    """Let the method sample with this noise `[N, T, H]` instead of its own."""
    return patch("torch.randn_like", lambda x: torch.from_numpy(noise))


def _pool(case: Case) -> dict[str, Any]:
    count = int(case.config["length"])
    outputs: dict[str, Any] = {}
    for name, features in case.inputs().items():
        pooled = pool_segments(features, count)
        outputs |= {
            f"pool{count}_ucf:{name}": pooled,
            f"pool{count}_xd:{name}": pooled,
            f"edges{count}:{name}": np.linspace(0, len(features), count + 1, dtype=int),
        }
    return outputs


def _model(case: Case) -> tuple[URDMU, dict[str, Tensor]]:
    weights = {f"{name}_weight": value for name, value in case.config.get("weights", {}).items() if name in WEIGHTS}
    return build(URDMU, case, NAMES, dropout=0.0, **weights)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    parts = []
    for name in case.values["videos"]:
        crops = torch.from_numpy(case.draw(name))
        parts.append(model.predict(crops, whole(crops)).scores.mean(dim=0).numpy())
    alarms = np.array([part.max() > 0.5 for part in parts])
    accuracy = np.mean(alarms == np.array(case.values["video_labels"], dtype=bool))
    return {**frame_outputs(parts, case.values["gt_intervals"]), "video_accuracy": accuracy}


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    batch = pooled_pairs(case, model.config.segments)
    normal = batch.normal
    with given(case.draw("epsilon")):
        with torch.no_grad():
            out = model(batch.features, batch.lengths, normal)
            terms = model.terms(out, batch)
        totals, gradnorm, moved = first_steps(model, batch, state, int(case.config.get("n_steps", 1)))
    outputs = {
        "frame": out.scores,
        "A_att": out.abnormality[normal:],
        "N_att": out.normality[:normal],
        "A_Natt": out.abnormality[:normal],
        "N_Aatt": out.normality[normal:],
        **{theirs: terms[ours] for theirs, ours in LOSSES.items()},
        "total": totals[0],
        "total_per_step": totals,
        "pooled_sub": batch.features[:, ::8, ::128],
    }
    return Computed(outputs, gradnorm, moved)


def _train(case: Case) -> Computed:
    model, _ = _model(case)
    weights = model.weights()

    def test() -> dict[str, Any]:
        rows = torch.from_numpy(case.draw("test"))
        return {"test_scores": model(rows, whole(rows)).scores}

    return train(
        case,
        model,
        lambda step: halves(case, f"x.step{step}"),
        lambda terms: {theirs: terms[ours] / weights[ours] for theirs, ours in LOSSES.items()},
        test,
        lambda step: given(case.draw(f"epsilon.step{step}")),
    )


compute = by_kind(eval=_eval, loss=_loss, pool=_pool, train=_train)
