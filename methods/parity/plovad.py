"""PLOVAD's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch
from harness.training.fitting import fit_length

from ..layers.time import bag_mean
from ..plovad import PLOVAD, Forward
from .adapter import build, by_kind
from .batches import whole
from .clip import clip_task, frame_truth
from .steps import six_steps
from .training import first_steps

NAMES = {
    "alpha": "negative_slope",
    "gamma": "kernel_slope",
    "bias": "kernel_bias",
    "mask_rate": "loud_share",
    "prefix": "prompt_prefix",
    "postfix": "prompt_postfix",
    "temp": "temperature",
    "lamda": "alignment_weight",
    "max_seqlen": "length",
}
# The parameters whose change a training case stores.
MOVED = (
    "TM.linear2.weight",
    "TM.self_attn.attention_0.weight",
    "TM.self_attn.attention_3.a",
    "TM.norm.weight",
    "classifier.0.weight",
    "classifier.2.weight",
    "embedding.weight",
    "logit_scale",
)


def _model(case: Case) -> tuple[PLOVAD, dict[str, Tensor]]:
    model, state = build(PLOVAD, case, NAMES, clip_task, dropout=0.0)
    # The case brings the vectors of its descriptions.
    model.described = torch.from_numpy(case.draw("prompt_features"))
    return model, state


def _rows(features: Tensor) -> Tensor:
    """All of `[B, T, D]` valid, padding too, as in the official training."""
    return torch.ones(features.shape[:2], dtype=torch.bool)


def _similarities(model: PLOVAD, out: Forward, lengths: Tensor, abnormal: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `[B, K]` of videos by learned and by described texts, k by the true label as in the official test."""
    texts = out.text, model.shifted(out, _rows(out.visual))
    learned, described = (bag_mean(model.aligned(out, text), lengths, abnormal) for text in texts)
    return learned, described


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    labels = torch.tensor(case.values["class_ids"])
    outputs: dict[str, Any] = {}
    parts = []
    learned: list[Tensor] = []
    described: list[Tensor] = []
    for i, label in enumerate(labels):
        x = torch.from_numpy(case.draw(f"video{i}"))[None]
        out = model(x, _rows(x))
        parts.append(out.scores[0].numpy())
        for rows, row in zip((learned, described), _similarities(model, out, whole(x), label[None]), strict=True):
            rows.append(row)
        if i < 3:
            outputs[f"v{i}_features_sub"] = out.visual[0, :, ::16]
    sims = torch.cat(learned), torch.cat(described)
    probs = torch.maximum(*sims).softmax(dim=1)
    scores = np.concatenate(parts)
    return {
        **outputs,
        "text_features_sub": out.text[:, ::4],
        "scores": scores,
        "sim_learned": sims[0],
        "sim_described": sims[1],
        "class_probs": probs,
        **_metrics(case, scores, probs.numpy(), labels.numpy()),
    }


def _metrics(
    case: Case, scores: NDArray[np.float32], probs: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, list[float]]:
    """What the official train and infer modes print; they differ in classes that no video has."""
    truth = frame_truth(case.values["lengths"], case.values["gt_segments"])
    frames = np.repeat(scores, len(truth) // len(scores))
    precision, recall, _ = precision_recall_curve(truth, frames)
    best = np.argsort(-probs, axis=1)
    top = [float(np.mean((best[:, :k] == labels[:, None]).any(axis=1))) for k in (1, 5)]
    by_class = np.array(
        [roc_auc_score(labels == c, probs[:, c]) if (labels == c).any() else 0.0 for c in range(probs.shape[1])]
    )
    area, mean = float(roc_auc_score(truth, frames)), float(by_class[by_class != 0].mean())
    abnormal = by_class[1:]
    return {
        "metrics": [area, *top, mean, float(abnormal.mean())],
        "metrics_infer": [area, float(auc(recall, precision)), *top, mean, float(abnormal[abnormal != 0].mean())],
    }


def _batch(case: Case, model: PLOVAD, videos: Sequence[str], labels: Sequence[int]) -> Batch:
    """Drawn videos, fitted as the method asks for."""
    fitted = [fit_length(case.draw(video), model.sampling()) for video in videos]
    features = torch.from_numpy(np.stack([rows for rows, _ in fitted]))
    hot = F.one_hot(torch.tensor(labels), len(case.values["prompts"])).float()
    return Batch(features, torch.tensor([length for _, length in fitted]), hot)


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    labels = case.values["class_ids"]
    batch = _batch(case, model, [f"video{i}" for i in range(len(labels))], labels)
    features = batch.features[:, : int(batch.lengths.max())]
    with torch.no_grad():
        out = model(features, _rows(features))
        terms = model.losses(out, batch)
        learned, described = _similarities(model, out, batch.lengths, batch.abnormal)
    totals, gradnorm, moved = first_steps(model, batch, state, 1)
    outputs = {
        "seq_len": batch.lengths,
        "scores": out.scores,
        "features_sub": out.visual[:, ::4, ::32],
        "text_features_sub": out.text[:, ::4],
        "sim_learned": learned,
        "sim_described": described,
        "loss_mil": terms["bags"],
        "loss_align": terms["alignment"] / model.config.alignment_weight,
        "total": totals[0],
    }
    return Computed(outputs, gradnorm, moved)


def _train(case: Case) -> dict[str, Any]:
    model, _ = _model(case)
    weight = model.config.alignment_weight

    def batch(step: int) -> Batch:
        labels = case.values["class_ids"][step]
        return _batch(case, model, [f"step{step}_video{i}" for i in range(len(labels))], labels)

    outputs = six_steps(model, batch, lambda terms: (terms["bags"], terms["alignment"] / weight), MOVED)
    with torch.no_grad():
        x = torch.from_numpy(case.draw("video0"))[None]
        out = model(x, _rows(x))
    return {**outputs, "final_scores": out.scores[0], "final_text_sub": out.text[:, ::16]}


compute = by_kind(eval=_eval, loss=_loss, train=_train)
