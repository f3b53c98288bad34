"""DeepMIL's answers to its parity cases: `eval`, `loss` and `pool`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from harness.data.fitting import pool_segments
from harness.errors import UserError
from harness.method import Batch, Task
from harness.parity import Case, Computed
from methods.deepmil import DeepMIL
from methods.parity.frames import frame_outputs
from methods.parity.training import first_steps


def compute(case: Case) -> Computed:
    """Return the outputs of a case.

    Raises:
        UserError: the case is of a kind that this method has not.
    """
    variant = str(case.spec["variant"])
    if variant.endswith("pool"):
        length = int(case.config["length"])
        pooled = {f"pool{length}:{name}": pool_segments(x, length) for name, x in case.inputs().items()}
        return Computed(pooled)
    if variant.endswith("eval"):
        return Computed(_eval(case))
    if variant.endswith("loss"):
        return _loss(case)
    raise UserError(f"{case.path}: deepmil has no cases of variant {variant!r}")


def _model(case: Case) -> DeepMIL:
    config = case.config
    names = {"batch_size": "batch", "num_segments": "segments", "smooth": "smooth", "sparsity": "sparsity"}
    settings = {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    state = case.parameters()
    dim, sizes = DeepMIL.official_sizes(state)
    settings |= {"dropout": 0.0, **sizes, **config.get("adam", {})}
    model = DeepMIL(DeepMIL.Config(**settings), Task(case.path.name, ("normal", "abnormal"), ("", ""), dim))
    model.load_saved_state(model.official_state(state))
    return model


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case).eval()
    parts = []
    for name in case.values["videos"]:
        crops = torch.from_numpy(case.draw(name))
        lengths = torch.full((len(crops),), crops.shape[1])
        parts.append(model.predict(crops, lengths).scores.mean(dim=0).numpy())
    return frame_outputs(parts, case.values["gt_intervals"])


def _loss(case: Case) -> Computed:
    model = _model(case).train()
    names = [*case.values["normal_videos"], *case.values["abnormal_videos"]]
    normal = len(case.values["normal_videos"])
    pooled = np.stack([pool_segments(case.draw(name), model.config.segments) for name in names])
    labels = torch.zeros(len(names), 2)
    labels[:normal, 0] = labels[normal:, 1] = 1
    lengths = torch.full((len(names),), model.config.segments)
    batch = Batch(torch.from_numpy(pooled), lengths, labels, normal)
    with torch.no_grad():
        scores = model(batch.features)
        terms = model.bag_terms(scores, lengths, normal)
    best = scores.amax(dim=1)

    totals, gradnorm, moved = first_steps(model, batch, case.parameters(), int(case.config["n_steps"]))
    outputs = {
        "smooth_per_bag": terms["smooth"],
        "sparsity_per_bag": terms["sparsity"],
        "hinge_per_bag": terms["hinge"],
        "scores": scores.flatten(),
        "max_normal": best[:normal],
        "max_abnormal": best[normal:],
        "total": totals[0],
        "total_per_step": totals,
        "pooled_sub": pooled[:, :, ::256],
    }
    return Computed(outputs, gradnorm, moved)
