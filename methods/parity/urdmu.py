"""UR-DMU's answers to its parity cases: `eval`, `loss` and `pool`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.fitting import pool_segments
from harness.errors import UserError
from harness.method import Batch, Task
from harness.parity import Case, Computed
from methods.parity.frames import frame_outputs
from methods.parity.training import first_steps
from methods.urdmu import URDMU

# What the official configuration calls otherwise.
NAMES = {"batch_size": "batch", "num_segments": "segments", "margin": "distance_margin"}
WEIGHTS = ("memory", "triplet", "kl", "distance")


class PinnedURDMU(URDMU):
    """The method with given noise instead of drawn one."""

    noise: Tensor | None = None

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        return self.losses(self(batch.features, batch.lengths, batch.normal, self.noise), batch)


def compute(case: Case) -> Computed:
    """Return the outputs of a case.

    Raises:
        UserError: the case is of a kind that this method has not.
    """
    variant = str(case.spec["variant"])
    if variant.startswith("pool"):
        return Computed(_pool(case))
    if variant.startswith("eval"):
        return Computed(_eval(case))
    if variant.startswith("loss"):
        return _loss(case)
    raise UserError(f"{case.path}: urdmu has no cases of variant {variant!r}")


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


def _model(case: Case) -> PinnedURDMU:
    config, state = case.config, case.parameters()
    dim, sizes = URDMU.official_sizes(state)
    settings = {ours: config[theirs] for theirs, ours in NAMES.items() if theirs in config}
    weights = {f"{name}_weight": config["weights"][name] for name in WEIGHTS if name in config.get("weights", {})}
    settings |= {"dropout": config.get("dropout", 0.0), **weights, **config.get("adam", {}), **sizes}
    model = PinnedURDMU(URDMU.Config(**settings), Task(case.path.name, ("normal", "abnormal"), ("", ""), dim))
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
    alarms = np.array([part.max() > 0.5 for part in parts])
    accuracy = np.mean(alarms == np.array(case.values["video_labels"], dtype=bool))
    return {**frame_outputs(parts, case.values["gt_intervals"]), "video_accuracy": accuracy}


def _loss(case: Case) -> Computed:
    model = _model(case).train()
    names = [*case.values["normal_videos"], *case.values["abnormal_videos"]]
    normal = len(case.values["normal_videos"])
    pooled = np.stack([pool_segments(case.draw(name), model.config.segments) for name in names])
    labels = torch.zeros(len(names), 2)
    labels[:normal, 0] = labels[normal:, 1] = 1
    lengths = torch.full((len(names),), model.config.segments)
    batch = Batch(torch.from_numpy(pooled), lengths, labels, normal)
    model.noise = torch.from_numpy(case.draw("epsilon"))
    with torch.no_grad():
        out = model(batch.features, lengths, normal, model.noise)
        terms = model.terms(out, batch)

    totals, gradnorm, moved = first_steps(model, batch, case.parameters(), int(case.config.get("n_steps", 1)))
    outputs = {
        "frame": out.scores,
        "A_att": out.abnormality[normal:],
        "N_att": out.normality[:normal],
        "A_Natt": out.abnormality[:normal],
        "N_Aatt": out.normality[normal:],
        "loss_frame": terms["classification"],
        "loss_A": terms["abnormal_in_abnormal"],
        "loss_N_Aatt": terms["abnormal_in_normal"],
        "loss_N": terms["normal_in_normal"],
        "loss_A_N": terms["normal_in_abnormal"],
        "loss_triplet": terms["triplet"],
        "loss_kl": terms["kl"],
        "loss_distance": terms["distance"],
        "total": totals[0],
        "total_per_step": totals,
        "pooled_sub": pooled[:, ::8, ::128],
    }
    return Computed(outputs, gradnorm, moved)
