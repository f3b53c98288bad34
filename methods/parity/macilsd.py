"""MACIL-SD's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch, Task, TrainingPlan
from harness.training.fitting import fit_length
from harness.training.steps import backward, end_epoch, update

from ..macilsd import MACILSD, Forward
from .adapter import build, by_kind, plain_task
from .batches import two_classes, whole
from .frames import frame_outputs
from .training import Start, gradient_norms, own_names

# Stored streams keep every 8th channel.
STRIDE = 8
# The contrastive terms in the order of the cases; an event of "a" is that of the sound.
TERMS = {
    **{"cma_a2v_a2b": ("sound", "background"), "cma_a2v_a2n": ("sound", "normal")},
    **{"cma_v2a_a2b": ("pictures", "background"), "cma_v2a_a2n": ("pictures", "normal")},
}
MOVED = (
    *("cma.layer.self_attn.linears.0.weight", "fc_v.weight", "fc_a.weight", "att_mmil.fc.weight"),
    *("cma.layer.feed_forward.w_1.weight", "feedforward.w_1.weight"),
)


def _task(case: Case, state: Mapping[str, Tensor], dim: int) -> Task:
    return dataclasses.replace(plain_task(case, state, dim), audio_dim=MACILSD.official_audio_dim(state))


def _model(case: Case) -> tuple[MACILSD, dict[str, Tensor]]:
    return build(MACILSD, case, {"nhead": "heads", "max_seqlen": "length"}, _task, dropout=0.0)


def _test(model: MACILSD, case: Case, video: int) -> Forward:
    """All crops of a test video, each with the video's sound."""
    pictures, sound = (torch.from_numpy(case.draw(f"{name}{video}")) for name in ("video", "audio"))
    crops = torch.cat([pictures, sound.expand(len(pictures), -1, -1)], dim=2)
    out: Forward = model.eval()(crops, whole(crops), masked=True)
    return out


def _score(logits: Tensor | None) -> Tensor:
    assert logits is not None
    return logits.sigmoid().mean(dim=0)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model, _ = _model(case)
    outputs: dict[str, Any] = {}
    both, alone = [], []
    for video in range(len(case.values["video_lengths"])):
        out = _test(model, case, video)
        both.append(_score(out.logits).numpy())
        alone.append(_score(out.alone).numpy())
        outputs |= {
            f"v{video}_av_logits": out.logits,
            f"v{video}_a_prob": out.sound_logits.sigmoid(),
            f"v{video}_v_prob": out.pictures_logits.sigmoid(),
            f"v{video}_v_out_sub": out.pictures[..., ::STRIDE],
            f"v{video}_a_out_sub": out.sound[..., ::STRIDE],
            f"v{video}_single_logits": out.alone,
        }
    segments = case.values["gt_segments"]
    intervals = [(video, *frames) for video, inside in enumerate(segments) for frames in inside]
    metrics = [frame_outputs(scores, intervals)["ap"] for scores in (both, alone)]
    return {**outputs, "prob_av": np.concatenate(both), "prob_v": np.concatenate(alone), "metrics": metrics}


def _batch(model: MACILSD, case: Case, prefix: str, labels: Sequence[int], zero: Sequence[Sequence[int]] = ()) -> Batch:
    """Drawn videos, pictures and sound fitted each by itself, as the official loader does."""
    rows = []
    for video in range(len(labels)):
        pictures, sound = case.draw(f"{prefix}visual{video}"), case.draw(f"{prefix}audio{video}")
        pictures[[row for which, row in zero if which == video]] = 0
        rows.append(np.concatenate([fit_length(part, model.sampling())[0] for part in (pictures, sound)], axis=1))
    features = torch.from_numpy(np.stack(rows))
    return Batch(features, whole(features), two_classes(torch.tensor(labels, dtype=torch.float32)))


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    batch = _batch(model, case, "", case.values["label"], case.values["zero_rows"])
    schedules = model.train().schedules(TrainingPlan(model.config.epochs, 1, (1,)))
    # The rates are those of the first epoch, the weight of the contrast that of a later one.
    schedules[0].scheduler.last_epoch = case.config["epoch"]  # type: ignore[union-attr]
    cut = model.cut(batch)
    out = model(cut.features, cut.lengths)
    terms = model.losses(out, cut)
    assert out.alone is not None
    outputs = {
        "seq_len": cut.lengths,
        "loss_mil": terms["bags"],
        **{f"loss_{name}": model.contrast(out, cut.lengths)[pair] for name, pair in TERMS.items()},
        "total": terms["bags"] + terms["background"] + terms["normal"],
        "loss_v": terms["alone"],
        "mmil_prob": model.video_scores(out.logits, cut.lengths),
        "v_video_prob": model.video_scores(out.alone, cut.lengths),
        "a_prob": out.sound_logits.sigmoid(),
        "v_prob": out.pictures_logits.sigmoid(),
        "av_logits": out.logits,
    }
    start = Start(model)
    backward(model, schedules, batch, 1)
    update(schedules)
    moved, names = start.moved(), own_names(model, state)
    return Computed(outputs, gradient_norms(model, state), {theirs: moved[ours] for theirs, ours in names.items()})


def _train(case: Case) -> Computed:
    model, state = _model(case)
    epochs, per_epoch, labels = case.config["epochs"], case.config["batches_per_epoch"], case.values["labels"]
    schedules = model.train().schedules(TrainingPlan(model.config.epochs, per_epoch, (per_epoch,)))
    start = Start(model)
    rows, rates, kept = [], [], []
    for epoch in range(epochs):
        rates.append([group["lr"] for schedule in schedules for group in schedule.optimizer.param_groups])
        kept.append(model.kept(epoch, model.config.epochs))
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            batch = _batch(model, case, f"step{step}_", labels[step])
            cut = model.cut(batch)
            with torch.no_grad():
                apart = model.contrast(model(cut.features, cut.lengths), cut.lengths)
            terms = backward(model, schedules, batch, step + 1)
            total = terms["bags"] + terms["background"] + terms["normal"]
            rows.append([terms["bags"], *(apart[pair] for pair in TERMS.values()), total, terms["alone"]])
            update(schedules)
        end_epoch(schedules)
    moved, names = start.moved(), own_names(model, state)
    # A layer that nothing reads is moved by what it is lent alone.
    idle = {name: state[f"model_v.{name}"] - state[name] for name in MOVED if name not in names}
    lent = 1 - math.prod(kept)
    with torch.no_grad():
        out = _test(model, case, 0)
    return Computed(
        {
            "terms_first3": rows[:3],
            "terms_later": rows[3:],
            "lamda": [min(model.config.contrast_limit, model.config.contrast_ramp * epoch) for epoch in range(epochs)],
            "m": kept,
            "lr": rates,
            "final_prob_av": _score(out.logits),
            "final_prob_v": _score(out.alone),
            "moved": [lent * float(idle[name].norm()) if name in idle else moved[names[name]] for name in MOVED],
        }
    )


compute = by_kind(eval=_eval, loss=_loss, train=_train)
