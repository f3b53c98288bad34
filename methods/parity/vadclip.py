"""VadCLIP's answers to its parity cases: `eval`, `loss` and `train` on both data sets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed

from ..vadclip import VadCLIP
from .adapter import build, by_kind, is_xd
from .clip import clip_task, frame_metrics, labelled, test_logits, windows
from .training import gradient_norms, total_with_gradients, train

# Stored features keep every 16th channel.
STRIDE = 16
NAMES = {
    "visual_head": "visual_heads",
    "attn_window": "attn_window",
    "prompt_prefix": "prompt_prefix",
    "prompt_postfix": "prompt_postfix",
}


def _model(case: Case) -> tuple[VadCLIP, dict[str, Tensor]]:
    return build(VadCLIP, case, NAMES, clip_task)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    lengths = case.values["video_lengths"]
    outputs: dict[str, Any] = {}
    scores, probs = [], []
    for i, length in enumerate(lengths):
        out = model(*windows(case.draw(f"video{i}"), model.config.visual_length))
        scores.append(out.logits1.flatten()[:length].sigmoid())
        probs.append(out.logits2.flatten(0, 1)[:length].softmax(dim=1))
        outputs |= {
            "text_features": out.text,
            f"v{i}_visual_features": out.visual[..., ::STRIDE],
            f"v{i}_logits1": out.logits1[..., None],
            f"v{i}_logits2": out.logits2,
            f"v{i}_class_probs": probs[-1],
        }
    prob1, prob2 = torch.cat(scores).numpy(), 1 - torch.cat(probs)[:, 0].numpy()
    auc1, ap1, auc2, ap2 = frame_metrics((prob1, prob2), lengths, case.values["gt_segments"])
    # Training on XD-Violence keeps the weights with the best AP of the alignment branch.
    returned = [auc1, ap2, 0.0] if is_xd(case) else [auc1, ap1]
    return {**outputs, "prob1": prob1, "prob2": prob2, "metrics": [auc1, ap1, auc2, ap2], "test_return": returned}


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    batch = labelled(case, "visual", case.values["lengths"], case.values["labels"])
    out = model(batch.features, batch.lengths)
    terms = model.losses(out, batch)
    total = total_with_gradients(terms)
    outputs = {
        "loss1_bce": terms["binary"],
        "loss2_mil": terms["alignment"],
        # Stored with its weight for UCF-Crime, without it for XD-Violence.
        "loss3_text": terms["text"][None] / (model.config.text_weight if is_xd(case) else 1.0),
        "total": total[None],
        "text_features": out.text,
        "logits1": out.logits1[..., None],
        "logits2": out.logits2,
        "labels_multihot": batch.labels,
    }
    return Computed(outputs, gradient_norms(model, state))


def _train(case: Case) -> Computed:
    model, _ = _model(case)
    # As in the loss cases, weighted for UCF-Crime alone.
    weight = model.config.text_weight if is_xd(case) else 1.0
    return train(
        case,
        model,
        lambda step: labelled(case, f"visual.step{step}", case.values["lengths"][step], case.values["labels"][step]),
        lambda terms: {"loss1": terms["binary"], "loss2": terms["alignment"], "loss3": terms["text"] / weight},
        lambda: test_logits(model(*windows(case.draw("test"), model.config.visual_length)), case),
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
