"""VadCLIP's answers to its parity cases: `eval` and `loss` on both data sets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.errors import UserError
from harness.method import Batch, Task
from harness.parity import Case, Computed
from methods.parity.clip import frame_metrics, multi_hot, text_tower, windows
from methods.parity.training import gradient_norms
from methods.vadclip import VadCLIP, VadCLIPConfig

# Stored features keep every 16th channel.
STRIDE = 16
NAMES = {
    "visual_head": "visual_heads",
    "attn_window": "attn_window",
    "prompt_prefix": "prompt_prefix",
    "prompt_postfix": "prompt_postfix",
}


def compute(case: Case) -> Computed:
    """Return the outputs of a case.

    Raises:
        UserError: the case is of a kind that this method has not.
    """
    variant = str(case.spec["variant"])
    if variant.endswith("eval"):
        return Computed(_eval(case))
    if variant.endswith("loss"):
        return _loss(case)
    raise UserError(f"{case.path}: vadclip has no cases of variant {variant!r}")


def _is_xd(case: Case) -> bool:
    return str(case.spec["variant"]).startswith("xd")


def _model(case: Case) -> tuple[VadCLIP, dict[str, Tensor]]:
    config, state = case.config, case.parameters()
    prompts = tuple(case.values["prompts"])
    tower = text_tower(state, prompts, case.values["token_ids"], config.get("clip_text_heads"), case.path.name)
    dim, sizes = VadCLIP.official_sizes(state)
    settings = {ours: config[theirs] for theirs, ours in NAMES.items() if theirs in config} | sizes
    full = VadCLIP.configure("xd-violence" if _is_xd(case) else "ucf-crime", "paper", settings)
    assert isinstance(full, VadCLIPConfig)
    model = VadCLIP(full, Task(case.path.name, prompts, prompts, dim, tower))
    model.load_saved_state(model.official_state(state))
    return model, state


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
    returned = [auc1, ap2, 0.0] if _is_xd(case) else [auc1, ap1]
    return {**outputs, "prob1": prob1, "prob2": prob2, "metrics": [auc1, ap1, auc2, ap2], "test_return": returned}


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    lengths = torch.tensor(case.values["lengths"])
    features = torch.from_numpy(case.draw("visual"))
    features[torch.arange(features.shape[1]) >= lengths[:, None]] = 0
    labels = multi_hot(case.values["labels"], case.values["prompts"], _is_xd(case))
    batch = Batch(features, lengths, labels)
    out = model(features, lengths)
    terms = model.losses(out, batch)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    outputs = {
        "loss1_bce": terms["binary"],
        "loss2_mil": terms["alignment"],
        # Stored with its weight for UCF-Crime, without it for XD-Violence.
        "loss3_text": terms["text"][None] / (model.config.text_weight if _is_xd(case) else 1.0),
        "total": total[None],
        "text_features": out.text,
        "logits1": out.logits1[..., None],
        "logits2": out.logits2,
        "labels_multihot": labels,
    }
    return Computed(outputs, gradient_norms(model, state))
