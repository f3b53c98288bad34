"""GlanceVAD's answers to its parity cases: `eval`, `loss` and `train`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import PropertyMock, patch

import numpy as np
import torch
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch
from harness.training.fitting import place_clicks, pool_segments

from ..glancevad import GlanceVAD, mined, splatted
from ..urdmu import Forward
from .adapter import build, by_kind
from .batches import normal_first, whole
from .clip import SNIPPET, frame_truth
from .steps import FIRST, six_steps
from .training import first_steps
from .urdmu import given

NAMES = {
    "quantize_size": "segments",
    "margin": "distance_margin",
    "alpha": "mining_share",
    "sigma": "spread",
    "min_mining_step": "mining_from",
}
# What the official weights are called otherwise.
WEIGHTS = {
    "abnormal_mil": "abnormal_weight",
    "memory": "memory_weight",
    "triplet": "triplet_weight",
    "kl": "kl_weight",
    "distance": "distance_weight",
    "glance": "glance_weight",
}
LOSSES = {
    "loss_abnormal_mil": "abnormal",
    "loss_N_Aatt": "abnormal_in_normal",
    "loss_A": "abnormal_in_abnormal",
    "loss_N": "normal_in_normal",
    "loss_A_N": "normal_in_abnormal",
    "loss_triplet": "triplet",
    "loss_kl": "kl",
    "loss_normal_mil": "normal",
    "loss_distance": "distance",
}
# The columns of a training case before the total.
COLUMNS = (*tuple(LOSSES)[:7], "loss_glance")
MOVED = (
    "embedding.conv_1.0.weight",
    "self_attn.layers.0.0.fn.to_qkv.weight",
    "self_attn.layers.1.1.fn.net.3.weight",
    "cls_head.mlp.0.weight",
    "cls_head.mlp.2.bias",
    "Amemory.memory_block",
    "Nmemory.memory_block",
    "encoder_mu.0.weight",
    "encoder_var.0.weight",
)
# The drawn clicks are also splatted with a wide Gaussian, where the first stretching shows.
WIDE = 0.6


def _model(case: Case) -> tuple[GlanceVAD, dict[str, Tensor]]:
    weights = {ours: case.config["weights"][theirs] for theirs, ours in WEIGHTS.items()}
    return build(GlanceVAD, case, NAMES, dropout=0.0, **weights)


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    outputs: dict[str, Any] = {}
    parts = []
    for i, name in enumerate(case.values["videos"]):
        crops = torch.from_numpy(case.draw(name))
        scores = model.predict(crops, whole(crops)).scores
        outputs[f"v{i}_crop_scores"] = scores
        parts.append(scores.mean(dim=0).numpy())
    return {**outputs, "scores": np.concatenate(parts), "metrics": _metrics(case, parts)}


def _metrics(case: Case, parts: Sequence[Any]) -> list[float]:
    """AUC, AUC of abnormal videos, false-alarm rate of normal ones at 0.5, AP and AP of abnormal ones (trapezoid)."""
    truths = [frame_truth([len(p)], [s]) for p, s in zip(parts, case.values["gt_segments"], strict=True)]
    frames = [np.repeat(part, SNIPPET) for part in parts]
    abnormal = [bool(truth.any()) for truth in truths]

    def joined(rows: Sequence[Any], chosen: Sequence[bool]) -> Any:
        return np.concatenate([row for row, keep in zip(rows, chosen, strict=True) if keep])

    def areas(chosen: Sequence[bool]) -> tuple[float, float]:
        truth, scores = joined(truths, chosen), joined(frames, chosen)
        precision, recall, _ = precision_recall_curve(truth, scores)
        return float(roc_auc_score(truth, scores)), float(auc(recall, precision))

    (area, precision), (area_abnormal, precision_abnormal) = areas([True] * len(parts)), areas(abnormal)
    alarms = float(np.mean(joined(frames, [not each for each in abnormal]) >= 0.5))
    return [area, area_abnormal, alarms, precision, precision_abnormal]


def _batch(
    case: Case, model: GlanceVAD, normal: Sequence[str], abnormal: Sequence[str], glances: Sequence[Sequence[int]]
) -> Batch:
    """Drawn videos `[T, D]`, normal ones first, pooled, with the clicks of the abnormal ones."""
    segments = model.config.segments
    videos = [case.draw(name) for name in (*normal, *abnormal)]
    rows = torch.from_numpy(np.stack([pool_segments(video, segments) for video in videos]))
    places = [()] * len(normal) + [[frame / SNIPPET for frame in frames] for frames in glances]
    clicks = [place_clicks(each, len(video), segments) for each, video in zip(places, videos, strict=True)]
    batch = normal_first(rows, len(normal))
    return Batch(batch.features, batch.lengths, batch.labels, batch.normal, clicks=torch.from_numpy(np.stack(clicks)))


def _at(step: int) -> Any:
    """Let a training be at this step."""
    return patch.object(GlanceVAD, "step", PropertyMock(return_value=step))


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    values = case.values
    batch = _batch(case, model, values["normal_videos"], values["abnormal_videos"], values["glances"])
    assert batch.clicks is not None
    n, config, clicks = batch.normal, model.config, batch.clicks[batch.normal :]
    outputs: dict[str, Any] = {"point_label": clicks, "pooled_sub": batch.features[:, ::8, ::128]}
    with given(case.draw("epsilon")):
        with torch.no_grad():
            out = model(batch.features, batch.lengths, n)
        scores = out.scores[n:]
        outputs |= {
            "scores": out.scores,
            "A_att": out.abnormality[n:],
            "N_att": out.normality[:n],
            "A_Natt": out.abnormality[:n],
            "N_Aatt": out.normality[n:],
            "mined": mined(clicks, scores, config.mining_share),
        }
        with _at(1):
            terms = model.terms(out, batch)
            outputs |= {theirs: terms[ours] for theirs, ours in LOSSES.items()}
            outputs |= {"target_clicks": model.target(clicks, scores), "loss_glance_clicks": terms["glance"]}
            totals, norms, _ = first_steps(model, batch, state, 1)
            whole_norm = sum(norm**2 for norm in norms.values() if norm is not None) ** 0.5
            outputs |= {"total_clicks": totals[0], "gradnorm_clicks": whole_norm}
        model, state = _model(case)
        model.train()
        with _at(config.mining_from):
            outputs |= {"target_mined": model.target(clicks, scores), "loss_glance": model.terms(out, batch)["glance"]}
            totals, gradnorm, moved = first_steps(model, batch, state, 1)
    return Computed({**outputs, "total": totals[0], **_drawn(case, model)}, gradnorm, moved)


def _drawn(case: Case, model: GlanceVAD) -> dict[str, Tensor]:
    """Mining and splatting alone, on drawn scores."""
    scores = torch.from_numpy(case.draw("mine_scores"))
    clicks = torch.zeros_like(scores)
    for row, points in zip(clicks, case.values["mine_points"], strict=True):
        row[points] = 1
    events = mined(clicks, scores, model.config.mining_share)
    return {
        "mine_drawn": events,
        "splat_drawn_mined": splatted(events, model.config.spread),
        "splat_drawn_clicks": splatted(clicks, model.config.spread),
        "splat_drawn_wide": splatted(clicks, WIDE),
    }


def _train(case: Case) -> dict[str, Any]:
    model, _ = _model(case)
    official, plain = {**LOSSES, "loss_glance": "glance"}, model.terms
    unweighted: dict[str, Tensor] = {}
    counts: list[list[float]] = []

    def batch(step: int) -> Batch:
        glances = case.values["glances"][step]
        normal, abnormal = ([f"step{step}_{kind}{i}" for i in range(len(glances))] for kind in ("normal", "abnormal"))
        return _batch(case, model, normal, abnormal, glances)

    def noted(out: Forward, batch: Batch) -> dict[str, Tensor]:
        """The terms as they are before their weights, one of which is 0, and how far events would grow."""
        assert batch.clicks is not None
        n = batch.normal
        counts.append(mined(batch.clicks[n:], out.scores[n:].detach(), model.config.mining_share).sum(dim=1).tolist())
        terms = plain(out, batch)
        unweighted.update({name: term.detach() for name, term in terms.items()})
        return terms

    with patch.object(model, "terms", noted):
        outputs = six_steps(
            model,
            batch,
            lambda terms: [unweighted[official[name]] for name in COLUMNS],
            MOVED,
            lambda step: given(case.draw(f"step{step}_epsilon")),
        )
    with torch.no_grad():
        x = torch.from_numpy(case.draw("video0"))[None]
        outputs["final_scores"] = model.predict(x, whole(x)).scores[0]
    return {**outputs, "mined_count_first3": counts[:FIRST]}


compute = by_kind(eval=_eval, loss=_loss, train=_train)
