"""AVadCLIP's answers to its parity cases: `eval`, `loss` and `train` of the teacher and of the student."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch, Schedule, Task, TrainingPlan
from harness.training.steps import backward, end_epoch, update

from ..avadclip import AVadCLIP, FocalVadCLIP
from ..avadclip_student import AVadCLIPStudent
from ..layers.clip import TwoBranch
from .adapter import build, by_kind
from .batches import padded
from .clip import clip_task, frame_metrics, multi_hot, windows
from .training import Start, gradient_norms, own_names

# Stored features keep every 16th channel.
STRIDE = 16
NAMES = {
    "visual_head": "visual_heads",
    "attn_window": "attn_window",
    "prompt_prefix": "prompt_prefix",
    "prompt_postfix": "prompt_postfix",
}
MOVED = ("linear.weight", "classifier.weight", "mlp1.c_fc.weight", "alpha", "text_prompt_embeddings.weight")
MOVED_TEACHER = (
    *("temporalconvnet.network.0.conv1.weight_v", "temporalconvnet.network.0.conv1.weight_g"),
    "temporalgatedresidual.gate_proj.0.weight",
)
MOVED_STUDENT = ("fe_net.conv.0.conv.0.weight", "fe_net.theta.theta.0.weight")


def _is_student(case: Case) -> bool:
    return "student" in str(case.spec["variant"]).split("-")


def _model(case: Case) -> tuple[FocalVadCLIP, dict[str, Tensor]]:
    method: type[FocalVadCLIP] = AVadCLIPStudent if _is_student(case) else AVadCLIP

    def task(case: Case, state: Mapping[str, Tensor], dim: int) -> Task:
        return dataclasses.replace(clip_task(case, state, dim), audio_dim=method.official_audio_dim(state))

    return build(method, case, NAMES, task, dropout=0.0)


def _test_windows(model: FocalVadCLIP, case: Case, video: int) -> tuple[Tensor, Tensor]:
    """The windows of a test video with its sound; that of a student's may be silent, for nothing hears it."""
    pictures = case.draw(f"video{video}")
    silent = np.zeros_like(pictures)
    sound = silent if isinstance(model, AVadCLIPStudent) else case.draw(f"audio{video}")
    return windows(np.concatenate([pictures, sound], axis=1), model.config.visual_length)


def _parts(model: FocalVadCLIP, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """What is stored of the way from windows to visual features."""
    if isinstance(model, AVadCLIPStudent):
        visual = model.encoded(features, lengths)
        return {"encoded_sub": visual, "theta": model.log_variance(visual)}
    assert isinstance(model, AVadCLIP)
    pictures, sound = features.chunk(2, dim=2)
    return {"encoded_sub": model.encoder.encode(pictures, lengths), "audio_sub": model.hearing(sound)}


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    lengths = case.values["video_lengths"]
    outputs: dict[str, Any] = {}
    scores, probs = [], []
    for video, length in enumerate(lengths):
        cut = _test_windows(model, case, video)
        out = model(*cut)
        scores.append(out.logits1.flatten()[:length].sigmoid())
        probs.append(out.logits2.flatten(0, 1)[:length].softmax(dim=1))
        parts = _parts(model, *cut) | {"visual_features": out.visual}
        outputs |= {f"v{video}_{name}": part[..., ::STRIDE] for name, part in parts.items()}
        outputs |= {
            "text_features": out.text,
            f"v{video}_logits1": out.logits1[..., None],
            f"v{video}_logits2": out.logits2,
            f"v{video}_class_probs": probs[-1],
        }
    prob1, prob2 = torch.cat(scores).numpy(), 1 - torch.cat(probs)[:, 0].numpy()
    metrics = frame_metrics((prob1, prob2), lengths, case.values["gt_segments"])
    auc1, _, _, ap2 = metrics
    return {**outputs, "prob1": prob1, "prob2": prob2, "metrics": metrics, "test_return": [auc1, ap2, 0.0]}


def _batch(case: Case, prefix: str, lengths: Sequence[int], heard: Sequence[int], labels: Sequence[str]) -> Batch:
    """Drawn windows, pictures and sound zero beyond lengths of their own."""
    pictures, ends = padded(case, f"{prefix}visual", lengths)
    sound, _ = padded(case, f"{prefix}audio", heard)
    return Batch(torch.cat([pictures, sound], dim=2), ends, multi_hot(labels, case.values["prompts"], xd=True))


def _unweighted(model: FocalVadCLIP, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Loss terms under the names of the cases."""
    c = model.config
    mil, focal = terms["alignment"] / c.alignment_weight, terms["focal"] / c.focal_weight
    named = {
        "loss1_bce": terms["binary"],
        "loss2_mil": (mil + focal) / 2,
        "loss3_text": terms["text"] / c.text_weight,
        "total": torch.stack(list(terms.values())).sum(),
        "loss2_mil_part": mil,
        "loss2_focal_part": focal,
    }
    if isinstance(model, AVadCLIPStudent):
        named["loss4_distil"] = terms["distill"] / model.config.distill_weight
    return named


def _schedules(model: FocalVadCLIP, epochs: int) -> list[Schedule]:
    """Optimizers and schedules of the official training, a student's when its teacher is trained."""
    model.train()
    if isinstance(model, AVadCLIPStudent):
        # The teacher's epochs are over.
        assert model.teacher is not None
        teacher, model.teacher = model.teacher, None
        found = list(model.schedules(TrainingPlan(epochs, 1, (1,))))
        model.teacher = teacher
        return found
    return list(model.schedules(TrainingPlan(epochs, 1, (1,))))


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    schedules, said = _schedules(model, model.config.epochs), case.values
    batch = _batch(case, "", said["lengths"], said["audio_lengths"], said["labels"])
    with torch.no_grad():
        out: TwoBranch = model(batch.features, batch.lengths)
        parts = _parts(model, batch.features, batch.lengths)
    start = Start(model)
    terms = backward(model, schedules, batch, 1)
    update(schedules)
    outputs = {
        **_unweighted(model, terms),
        "text_features": out.text,
        "logits1": out.logits1[..., None],
        "logits2": out.logits2,
        "labels_multihot": batch.labels,
        "visual_features": out.visual[..., ::STRIDE],
        **{name: part[..., ::STRIDE] for name, part in parts.items() if name == "theta"},
    }
    moved, names = start.moved(), own_names(model, state)
    changes = {theirs: moved[ours] for theirs, ours in names.items() if ours in moved}
    return Computed(outputs, gradient_norms(model, state), changes)


def _train(case: Case) -> Computed:
    model, state = _model(case)
    schedules, said = _schedules(model, model.config.epochs), case.values
    start = Start(model)
    rows, distances, rates = [], [], []
    for step, lengths in enumerate(said["lengths"]):
        batch = _batch(case, f"step{step}_", lengths, said["audio_lengths"][step], said["labels"][step])
        rates.append(schedules[0].optimizer.param_groups[0]["lr"])
        named = _unweighted(model, backward(model, schedules, batch, step + 1))
        rows.append([named[name] for name in ("loss1_bce", "loss2_mil", "loss3_text", "total")])
        distances.append(named.get("loss4_distil"))
        update(schedules)
        end_epoch(schedules)
    moved, names = start.moved(), own_names(model, state)
    model.eval()
    with torch.no_grad():
        out = model(*_test_windows(model, case, 0))
    length = said["video_length"]
    outputs = {
        "terms_first3": rows[:3],
        "terms_later": rows[3:],
        "lr": rates,
        "final_prob1": out.logits1.flatten()[:length].sigmoid(),
        "final_prob2": 1 - out.logits2.flatten(0, 1)[:length].softmax(dim=1)[:, 0],
        "final_alpha": model.class_weights,
        "moved": [moved[names[name]] for name in (*MOVED, *(MOVED_STUDENT if _is_student(case) else MOVED_TEACHER))],
    }
    return Computed(
        outputs | ({"loss4_first3": distances[:3], "loss4_later": distances[3:]} if _is_student(case) else {})
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
