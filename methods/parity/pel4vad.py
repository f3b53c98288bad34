"""PEL4VAD's answers to its parity cases: `eval` and `loss`."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import UserError
from harness.method import Batch, Task
from harness.parity import Case, Computed
from harness.text import load_text_tower
from methods.parity.training import gradient_norms
from methods.pel4vad import PEL4VAD

NAMES = {
    "win_size": "window",
    "gamma": "kernel_slope",
    "bias": "kernel_bias",
    "norm": "time_norm",
    "temp": "temperature",
    "lamda": "prompt_weight",
}


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
    raise UserError(f"{case.path}: pel4vad has no cases of variant {variant!r}")


def _model(case: Case) -> PEL4VAD:
    state = case.parameters()
    dim, sizes = PEL4VAD.official_sizes(state)
    settings = {ours: case.config[theirs] for theirs, ours in NAMES.items() if theirs in case.config}
    config = PEL4VAD.Config(**settings, **sizes, dropout=0.0)
    # The case brings its own text features; the tower's are not used.
    task = Task(case.path.name, ("normal", "abnormal"), ("normal", "abnormal"), dim, load_text_tower(None))
    model = PEL4VAD(config, task)
    model.load_saved_state(model.official_state(state))
    return model


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case).eval()
    crops = torch.from_numpy(case.draw("x"))
    out = model(crops, torch.ones(crops.shape[:2], dtype=torch.bool))
    mean = out.scores.mean(dim=0, keepdim=True)

    def smoothed(kind: str, window: int) -> torch.Tensor:
        model.config = model.config.model_copy(update={"smoothing": kind, "smoothing_window": window})
        return model.smoothed(mean)[0]

    return {
        "scores": out.scores,
        "x_v_sub": out.visual.transpose(1, 2)[:, ::16, ::3],
        "crop_mean": mean[0],
        "fixed_smooth": smoothed("fixed", 8),
        "slide_smooth": smoothed("slide", 7),
    }


def _loss(case: Case) -> Computed:
    model = _model(case).train()
    lengths = torch.tensor(case.values["pad_lengths"])
    features = torch.from_numpy(case.draw("x"))
    features[torch.arange(features.shape[1]) >= lengths[:, None]] = 0
    features = features[:, : int(lengths.max())]
    abnormal = torch.tensor(case.values["label"], dtype=torch.float32)
    classes = torch.tensor(case.values["multi_label"])
    # A normal video's foreground meets the first row, too.
    texts = torch.from_numpy(case.draw("t_feat"))
    foreground = torch.where(classes[:, None] > 0, texts[:, 1], texts[:, 0])
    batch = Batch(features, lengths, torch.stack([1 - abnormal, abnormal], dim=1))
    out = model(features, torch.ones(features.shape[:2], dtype=torch.bool))
    terms = model.losses(out, batch, classes, texts[:, 0], foreground)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    logits, ids = model.prompt_logits(out, classes, texts[:, 0], foreground)
    outputs = {
        "loss_mil": terms["bags"],
        "loss_pel": model.prompt_loss(logits, ids),
        "total": total,
        "scores": out.scores,
        "v2t_logits": logits,
        "video_labels": ids.float(),
        "seq_len": lengths,
    }
    return Computed(outputs, gradient_norms(model, case.parameters()))
