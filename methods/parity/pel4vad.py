"""PEL4VAD's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Task
from harness.text.loading import load_text_tower

from ..pel4vad import PEL4VAD
from .adapter import build, by_kind
from .batches import padded_batch
from .training import gradient_norms, total_with_gradients, train

NAMES = {
    "win_size": "window",
    "gamma": "kernel_slope",
    "bias": "kernel_bias",
    "norm": "time_norm",
    "temp": "temperature",
    "lamda": "prompt_weight",
}


def _model(case: Case) -> tuple[PEL4VAD, dict[str, Tensor]]:
    return build(PEL4VAD, case, NAMES, _task, dropout=0.0)


def _task(case: Case, state: Mapping[str, Tensor], dim: int) -> Task:
    # The case brings its own text features; the tower's are not used.
    return Task(case.path.name, ("normal", "abnormal"), ("normal", "abnormal"), dim, load_text_tower(None))


def _texts(case: Case, name: str, multi_label: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Each video's class `[B]` and its prompts of background and foreground, `[B, V]`."""
    texts, classes = torch.from_numpy(case.draw(name)), torch.tensor(multi_label)
    # A normal video's foreground meets the first row, too.
    return classes, texts[:, 0], torch.where(classes[:, None] > 0, texts[:, 1], texts[:, 0])


def _rows(features: Tensor) -> Tensor:
    """All of `[B, T, D]` valid, padding too, as in the official training."""
    return torch.ones(features.shape[:2], dtype=torch.bool)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    crops = torch.from_numpy(case.draw("x"))
    out = model(crops, _rows(crops))
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
    model, state = _model(case)
    model.train()
    batch = padded_batch(case)
    texts = _texts(case, "t_feat", case.values["multi_label"])
    out = model(batch.features, _rows(batch.features))
    terms = model.losses(out, batch, *texts)
    total = total_with_gradients(terms)
    logits, ids = model.prompt_logits(out, *texts)
    outputs = {
        "loss_mil": terms["bags"],
        "loss_pel": model.prompt_loss(logits, ids),
        "total": total,
        "scores": out.scores,
        "v2t_logits": logits,
        "video_labels": ids.float(),
        "seq_len": batch.lengths,
    }
    return Computed(outputs, gradient_norms(model, state))


def _train(case: Case) -> Computed:
    model, _ = _model(case)

    def drawn(step: int) -> contextlib.AbstractContextManager[Any]:
        texts = _texts(case, f"t_feat.step{step}", case.values["multi_label"][step])
        return patch.object(model, "texts", lambda batch: texts)

    def test() -> dict[str, Any]:
        rows = torch.from_numpy(case.draw("test"))
        return {"test_scores": model(rows, _rows(rows)).scores}

    return train(
        case,
        model,
        lambda step: padded_batch(case, step),
        lambda terms: {"loss1": terms["bags"], "loss2": terms["prompts"] / model.config.prompt_weight},
        test,
        drawn,
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
