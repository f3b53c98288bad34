"""HL-Net's answers to its parity cases: `eval` and `loss`."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import UserError
from harness.method import Batch, Task
from harness.parity import Case, Computed
from methods.hlnet import HLNet
from methods.parity.training import gradient_norms


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
    raise UserError(f"{case.path}: hlnet has no cases of variant {variant!r}")


def _model(case: Case) -> HLNet:
    state = case.parameters()
    dim, sizes = HLNet.official_sizes(state)
    model = HLNet(HLNet.Config(**sizes, dropout=0.0), Task(case.path.name, ("normal", "abnormal"), ("", ""), dim))
    model.load_saved_state(model.official_state(state))
    return model


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case).eval()
    crops = torch.from_numpy(case.draw("x"))
    size = crops.shape[:2]
    lengths = torch.full((size[0],), size[1])
    out = model(crops, lengths, masked=True)
    graphs = model.graphs(crops, lengths, out.online.sigmoid())
    everywhere = torch.eye(size[1]).expand(*size, -1)
    return {
        "logits_offline": out.offline,
        "logits_online": out.online,
        "offline_score": out.offline.sigmoid().mean(dim=0),
        "online_score": out.online.sigmoid().mean(dim=0),
        "adj_sub": graphs["holistic"](everywhere)[:1],
        "sadj_sub": graphs["scored"](everywhere)[:1],
    }


def _loss(case: Case) -> Computed:
    model = _model(case).train()
    lengths = torch.tensor(case.values["pad_lengths"])
    features = torch.from_numpy(case.draw("x"))
    features[torch.arange(features.shape[1]) >= lengths[:, None]] = 0
    abnormal = torch.tensor(case.values["label"], dtype=torch.float32)
    features = features[:, : int(lengths.max())]
    batch = Batch(features, lengths, torch.stack([1 - abnormal, abnormal], dim=1))
    out = model(features, lengths)
    terms = model.losses(out, batch)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    outputs = {
        "clsloss_offline": terms["offline"],
        "clsloss_online": terms["online"],
        "croloss": model.distillation(out, lengths),
        "total": total,
        "logits_offline": out.offline,
        "logits_online": out.online,
        "seq_len": lengths,
    }
    return Computed(outputs, gradient_norms(model, case.parameters()))
