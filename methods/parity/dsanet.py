"""DSANet's answers to its parity cases: `eval` and `loss` on both data sets, and `optim`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from harness.errors import UserError
from harness.method import Batch, Task
from harness.parity import Case, Computed
from harness.text import from_openai_state
from methods.dsanet import DSANet, DSANetConfig
from methods.parity.training import gradient_norms
from methods.stable_adamw import StableAdamW, warmup_cosine

SNIPPET = 16
# Stored features keep every 16th channel.
STRIDE = 16
XD_CODES = ("A", "B1", "B2", "B4", "B5", "B6", "G")
NAMES = {
    "visual_head": "visual_heads",
    "attn_window": "attn_window",
    "normal_selection_ratio": "normal_ratio",
    "t_w": "text_mix",
    "temp": "temperature",
    "loss2_weight": "loss2_weight",
}


def compute(case: Case) -> Computed:
    """Return the outputs of a case.

    Raises:
        UserError: the case is of a kind that this method has not.
    """
    variant = str(case.spec["variant"])
    if variant.endswith("optim"):
        return Computed(_optim(case))
    if variant.endswith("eval"):
        return Computed(_eval(case))
    if variant.endswith("loss"):
        return _loss(case)
    raise UserError(f"{case.path}: dsanet has no cases of variant {variant!r}")


def _model(case: Case) -> tuple[DSANet, dict[str, Tensor]]:
    config, state = case.config, case.parameters()
    prompts = tuple(case.values["prompts"])
    clip = {k.removeprefix("clipmodel."): v for k, v in state.items() if k.startswith("clipmodel.")}
    ids = dict(zip(prompts, case.values["token_ids"], strict=True))
    tower = from_openai_state(clip, int(config["clip_text_heads"]), ids.__getitem__, case.path.name)
    dim, sizes = DSANet.official_sizes(state)
    settings = {ours: config[theirs] for theirs, ours in NAMES.items() if theirs in config} | sizes
    model = DSANet(DSANetConfig(**settings), Task(case.path.name, prompts, prompts, dim, tower))
    model.load_saved_state(model.official_state(state))
    return model, state


def _windows(features: NDArray[np.float32], window: int) -> tuple[Tensor, Tensor]:
    """The official test windows: a length divisible by `window` gets one more, empty, announced as full."""
    length = len(features)
    count = length // window + 1
    padded = np.zeros((count * window, features.shape[1]), dtype=np.float32)
    padded[:length] = features
    lengths = torch.full((count,), window)
    lengths[-1] = length % window or window
    return torch.from_numpy(padded.reshape(count, window, -1)), lengths


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    outputs: dict[str, Any] = {}
    logits, probs, truth = [], [], []
    for i, (length, segments) in enumerate(zip(case.values["video_lengths"], case.values["gt_segments"], strict=True)):
        out = model(*_windows(case.draw(f"video{i}"), model.config.visual_length))
        kept = out.logits1.flatten()[:length]
        logits.append(kept)
        probs.append(model.class_probs(kept, out.logits2.flatten(0, 1)[:length]))
        frames = np.zeros(length * SNIPPET, dtype=np.int64)
        for start, end in segments:
            frames[int(start) : int(end)] = 1
        truth.append(frames)
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
    labels = np.concatenate(truth)
    metrics = []
    for scores in (prob1, prob2):
        repeated = np.repeat(scores, SNIPPET)
        metrics += [roc_auc_score(labels, repeated), average_precision_score(labels, repeated)]
    returned = [*metrics[:2], 0.0] if _is_xd(case) else metrics[:2]
    return {**outputs, "prob1": prob1, "prob2": prob2, "metrics": metrics, "test_return": returned}


def _is_xd(case: Case) -> bool:
    return str(case.spec["variant"]).startswith("xd")


def _labels(case: Case) -> Tensor:
    """Multi-hot `[B, C]`: UCF-Crime names one class, XD-Violence joins codes by dashes, 0 meaning none."""
    names = list(XD_CODES) if _is_xd(case) else [prompt.lower() for prompt in case.values["prompts"]]
    rows = torch.zeros(len(case.values["labels"]), len(names))
    for row, text in zip(rows, case.values["labels"], strict=True):
        for part in text.split("-") if _is_xd(case) else [text.lower()]:
            if part in names:
                row[names.index(part)] = 1
    return rows


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    lengths = torch.tensor(case.values["lengths"])
    features = torch.from_numpy(case.draw("visual"))
    features[torch.arange(features.shape[1]) >= lengths[:, None]] = 0
    batch = Batch(features, lengths, _labels(case))
    out = model(features, lengths)
    terms = model.losses(out, batch)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
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
