"""DSANet's answers to its parity cases: `eval`, `loss` and `train` on both data sets, and `optim`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed

from ..dsanet import DSANet, DSANetConfig
from ..stable_adamw import StableAdamW, warmup_cosine
from .adapter import build, by_kind, is_xd
from .clip import clip_task, frame_metrics, labelled, test_logits, windows
from .training import gradient_norms, total_with_gradients, train

# Stored features keep every 16th channel.
STRIDE = 16
NAMES = {
    "visual_head": "visual_heads",
    "attn_window": "attn_window",
    "normal_selection_ratio": "normal_ratio",
    "t_w": "text_mix",
    "temp": "temperature",
    "loss2_weight": "loss2_weight",
}


def _model(case: Case) -> tuple[DSANet, dict[str, Tensor]]:
    return build(DSANet, case, NAMES, clip_task)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    lengths = case.values["video_lengths"]
    outputs: dict[str, Any] = {}
    logits, probs = [], []
    for i, length in enumerate(lengths):
        out = model(*windows(case.draw(f"video{i}"), model.config.visual_length))
        logits.append(out.logits1.flatten()[:length])
        probs.append(model.class_probs(logits[-1], out.logits2.flatten(0, 1)[:length]))
        outputs |= {
            "text_features": out.text,
            f"v{i}_visual_features": out.visual[..., ::STRIDE],
            f"v{i}_logits1": out.logits1[..., None],
            f"v{i}_logits2": out.logits2,
            f"v{i}_logits3": out.logits3[:, None],
            f"v{i}_logits4": out.logits4[:, None],
            f"v{i}_reconstructed_features": out.rebuilt[..., ::STRIDE],
            f"v{i}_g_loss": out.gather,
            f"v{i}_class_probs": probs[-1],
        }
    prob1, prob2 = torch.cat(logits).sigmoid().numpy(), 1 - torch.cat(probs)[:, 0].numpy()
    metrics = frame_metrics((prob1, prob2), lengths, case.values["gt_segments"])
    returned = [*metrics[:2], 0.0] if is_xd(case) else metrics[:2]
    return {**outputs, "prob1": prob1, "prob2": prob2, "metrics": metrics, "test_return": returned}


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    batch = labelled(case, "visual", case.values["lengths"], case.values["labels"])
    out = model(batch.features, batch.lengths)
    terms = model.losses(out, batch)
    total = total_with_gradients(terms)
    outputs = {
        "loss1_bce": terms["binary"],
        "loss2_mil": terms["alignment"] / model.config.loss2_weight,
        "loss3_text": terms["text"][None],
        "loss4_event": terms["event"],
        "loss5_background": terms["background"],
        "consistency": terms["consistency"],
        "gather": terms["gather"],
        "total": total[None],
        "text_features": out.text,
        "logits1": out.logits1[..., None],
        "logits2": out.logits2,
        "logits3": out.logits3[:, None],
        "logits4": out.logits4[:, None],
        "reconstructed_features": out.rebuilt[..., ::STRIDE],
        "labels_multihot": batch.labels,
    }
    return Computed(outputs, gradient_norms(model, state))


def _optim(case: Case) -> dict[str, Any]:
    c = case.config
    total, warmup, final = int(c["total_iters"]), int(c["warmup_iters"]), c["final_value"] / c["lr"]
    parameters = {name: torch.nn.Parameter(value) for name, value in case.parameters().items()}
    optimizer = StableAdamW(
        parameters.values(), c["lr"], tuple(c["betas"]), c["eps"], c["weight_decay"], c["clip_threshold"], c["amsgrad"]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, total, warmup, final))
    outputs: dict[str, Any] = {}
    rates = []
    for t in range(int(c["steps"])):
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(case.draw(f"grad.{name}.{t}", std=c["grad_std"][t]))
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        outputs |= {f"{name}_after_{t}": parameter.detach().clone() for name, parameter in parameters.items()}
    # The official UCF-Crime training: 10 epochs of 125 steps, laid out over 125 normal and 126 abnormal batches.
    official = DSANetConfig()
    total = official.epochs * (125 + 126)
    curve = [
        official.lr * warmup_cosine(step, total, official.refiner_warmup, official.refiner_final)
        for step in range(official.epochs * 125)
    ]
    main = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=official.lr)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(main, T_max=official.epochs)
    epochs = []
    for _ in range(official.epochs):
        epochs.append(main.param_groups[0]["lr"])
        main.step()
        cosine.step()
    return {
        **outputs,
        "lr_used": rates,
        "ucf_refiner_lr_every_25": curve[::25],
        "ucf_refiner_lr_last": curve[-1],
        "main_lr_per_epoch": epochs,
    }


def _train(case: Case) -> Computed:
    model, _ = _model(case)
    return train(
        case,
        model,
        lambda step: labelled(case, f"visual.step{step}", case.values["lengths"][step], case.values["labels"][step]),
        lambda terms: {
            "loss1": terms["binary"],
            "loss2": terms["alignment"] / model.config.loss2_weight,
            "loss3": terms["text"],
            "loss4": terms["event"],
            "loss5": terms["background"],
            "consistency": terms["consistency"],
            "gather": terms["gather"],
        },
        lambda: test_logits(model(*windows(case.draw("test"), model.config.visual_length)), case),
    )


compute = by_kind(eval=_eval, loss=_loss, optim=_optim, train=_train)
