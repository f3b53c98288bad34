"""HL-Net's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed

from ..hlnet import HLNet
from .adapter import build, by_kind
from .batches import padded_batch, whole
from .training import gradient_norms, total_with_gradients, train


def _model(case: Case) -> tuple[HLNet, dict[str, Tensor]]:
    return build(HLNet, case, {}, dropout=0.0)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    crops = torch.from_numpy(case.draw("x"))
    size, lengths = crops.shape[:2], whole(crops)
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
    model, state = _model(case)
    model.train()
    batch = padded_batch(case)
    out = model(batch.features, batch.lengths)
    terms = model.losses(out, batch)
    total = total_with_gradients(terms)
    outputs = {
        "clsloss_offline": terms["offline"],
        "clsloss_online": terms["online"],
        "croloss": model.distillation(out, batch.lengths),
        "total": total,
        "logits_offline": out.offline,
        "logits_online": out.online,
        "seq_len": batch.lengths,
    }
    return Computed(outputs, gradient_norms(model, state))


def _train(case: Case) -> Computed:
    model, _ = _model(case)

    def test() -> dict[str, Any]:
        rows = torch.from_numpy(case.draw("test"))
        out = model(rows, whole(rows), masked=True)
        return {"test_logits_offline": out.offline, "test_logits_online": out.online}

    return train(
        case,
        model,
        lambda step: padded_batch(case, step),
        lambda terms: {
            "clsloss_offline": terms["offline"],
            "clsloss_online": terms["online"],
            "croloss": terms["distill"] / model.config.distill_weight,
        },
        test,
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
