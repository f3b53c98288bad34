"""AnomalyCLIP's answers to its parity cases: `eval` and `loss`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.parity.cases import Case, Computed
from harness.plugin import Batch, Task
from harness.text.openai import from_openai_state

from ..anomalyclip import AnomalyCLIP
from .adapter import by_kind
from .training import gradient_norms, total_with_gradients

# Stored text features keep every 8th channel, stored logits every 4th frame.
TEXT_STRIDE, FRAME_STRIDE = 8, 4


def _order(case: Case) -> list[int]:
    """Official class numbers in our order: the normal class first."""
    normal = int(case.config["normal_id"])
    return [normal, *(i for i in range(len(case.values["tokenized_prompts_nonzero"])) if i != normal)]


def _model(case: Case) -> tuple[AnomalyCLIP, dict[str, Tensor]]:
    config, state = case.config, case.parameters()
    dim, sizes = AnomalyCLIP.official_sizes(state)
    # Names that sort as the official classes do; their tokens without the placeholders of the learned vectors.
    names = [f"{number:03d}" for number in range(len(case.values["tokenized_prompts_nonzero"]))]
    tokens = {
        f"{name}.": [row[0], *row[1 + sizes["learned_context"] :]]
        for name, row in zip(names, case.values["tokenized_prompts_nonzero"], strict=True)
    }
    tower_state = {key.removeprefix("text_encoder."): value for key, value in state.items()}
    heads = int(config.get("clip_text_heads", tower_state["positional_embedding"].shape[1] // 64))
    tower = from_openai_state(tower_state, heads, tokens.__getitem__, case.path.name)
    loss = config["loss"]
    settings = {
        **{
            "heads": config["heads"],
            "selected": config["num_topk"],
            "select_dropout": config["select_idx_dropout_topk"],
        },
        **{"direction_abnormal": loss["lambda_dir_abn"], "direction_normal": loss["lambda_dir_nor"]},
        **{"top_abnormal": loss["lambda_topk_abn"], "bottom_abnormal": loss["lambda_bottomk_abn"]},
        **{"top_normal": loss["lambda_topk_nor"], "smooth": loss["lambda_smooth"], "sparsity": loss["lambda_sparse"]},
    }
    prompts = tuple(names[number] for number in _order(case))
    model = AnomalyCLIP(AnomalyCLIP.Config(**sizes, **settings), Task(case.path.name, prompts, prompts, dim, tower))
    centroid = torch.from_numpy(case.draw("ncentroid"))
    model.load_saved_state(model.official_state(state) | {"centroid": centroid})
    return model, state


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    model = _model(case)[0].eval()
    features = torch.from_numpy(case.draw("x")).flatten(0, -3)
    lengths = torch.full((len(features),), features.shape[1])
    found = model.predict(features, lengths)
    origin, order = model.centroid, torch.tensor(_order(case))
    text = model.directions(model.text)
    directions = text[1:] - origin
    similarity = (features - origin) @ (directions / directions.norm(dim=1, keepdim=True)).T
    assert found.class_probs is not None
    probs, texts = torch.empty_like(found.class_probs), torch.empty_like(text)
    probs[..., order], texts[order] = found.class_probs, text
    return {
        "similarity": model.norm(similarity.flatten(0, 1).double()),
        "scores": found.scores.flatten(),
        "class_probs": probs.flatten(0, 1),
        "text_features_sub": texts[:, ::TEXT_STRIDE],
    }


def _loss(case: Case) -> Computed:
    model, state = _model(case)
    model.train()
    order = _order(case)
    features = torch.from_numpy(case.draw("x")).flatten(0, -3)
    labels = torch.zeros(len(features), len(order))
    for row, label in enumerate(case.values["labels"]):
        labels[row, order.index(label)] = 1
    # Abnormal videos come first in the case, normal ones here.
    normal_first = torch.argsort(1 - labels[:, 0], stable=True)
    back = torch.argsort(normal_first)
    normal = int(labels[:, 0].sum())
    lengths = torch.full((len(features),), features.shape[1])
    batch = Batch(features[normal_first], lengths, labels[normal_first], normal)
    kept = torch.tensor(case.values["bottomk_mask"])[normal_first]
    out = model(batch.features)
    terms = model.losses(out, batch, kept)
    total = total_with_gradients(terms)
    chosen = model.select(out, batch, kept)
    outputs = {
        "total": total,
        "ldir_abn": terms["direction_abnormal"],
        "ldir_nor": terms["direction_normal"],
        "ltopk_abn": terms["top_abnormal"],
        "lbottomk_abn": terms["bottom_abnormal"],
        "ltopk_nor": terms["top_normal"],
        "lsmooth": terms["smooth"],
        "lsparse": terms["sparsity"],
        "scores": out.binary.sigmoid()[back].flatten(),
        "logits_sub": out.logits[back].flatten(0, 1)[::FRAME_STRIDE],
        "idx_topk_abn": chosen["top_abnormal"],
        "idx_topk_nor": chosen["top_normal"],
        "idx_bottomk_abn": chosen["bottom_abnormal"],
        "bn_running_mean_after": model.norm.running_mean,
        "bn_running_var_after": model.norm.running_var,
    }
    return Computed(outputs, gradient_norms(model, state))


compute = by_kind(eval=_eval, loss=_loss)
