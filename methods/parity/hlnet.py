"""HL-Net's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch

from ..hlnet import HLNet
from .adapter import build, by_kind
from .batches import padded, two_classes, whole
from .training import gradient_norms, train


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
    features, lengths = padded(case, "x", case.values["pad_lengths"])
    features = features[:, : int(lengths.max())]
    batch = Batch(features, lengths, two_classes(torch.tensor(case.values["label"], dtype=torch.float32)))
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
    return Computed(outputs, gradient_norms(model, state))


def _train(case: Case) -> Computed:
    model, _ = _model(case)

    def batch(step: int) -> Batch:
        features, lengths = padded(case, f"x.step{step}", case.values["pad_lengths"][step])
        return Batch(features, lengths, two_classes(torch.tensor(case.values["label"][step], dtype=torch.float32)))

    def test() -> dict[str, Any]:
        rows = torch.from_numpy(case.draw("test"))
        out = model(rows, whole(rows), masked=True)
        return {"test_logits_offline": out.offline, "test_logits_online": out.online}

    return train(
        case,
        model,
        batch,
        lambda terms: {
            "clsloss_offline": terms["offline"],
            "clsloss_online": terms["online"],
            "croloss": terms["distill"] / model.config.distill_weight,
        },
        test,
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
