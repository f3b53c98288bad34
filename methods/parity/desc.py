"""DeSC's answers to its parity cases: `eval` of either stream."""

from __future__ import annotations

from typing import Any

import torch

from harness.parity.cases import Case
from harness.plugin import Task

from ..desc import DeSC, Stream
from .adapter import by_kind
from .clip import text_tower

NAMES = {
    "visual_head": "visual_heads",
    "attn_window": "attn_window",
    "prompt_prefix": "prompt_prefix",
    "gt_heads": "graph_heads",
}


@torch.no_grad()
def _eval(case: Case) -> dict[str, Any]:
    config, state = case.config, case.parameters()
    prompts = tuple(config["prompt_text"])
    tokens = case.values["word_tokens_nonzero"]
    tower = text_tower(state, prompts, tokens, config.get("clip_text_heads"), case.path.name)
    prefix = DeSC.official_stream(state)
    dim, sizes = DeSC.official_sizes(state)
    settings = {ours: config[theirs] for theirs, ours in NAMES.items() if theirs in config} | sizes
    model = DeSC(
        DeSC.Config(**settings, streams=(prefix.removesuffix("."),)),
        Task(case.path.name, prompts, prompts, dim, tower),
    )
    model.load_saved_state(model.official_state({prefix + key: value for key, value in state.items()}))
    (stream,) = model.eval().streams.values()
    assert isinstance(stream, Stream)

    features = torch.from_numpy(case.draw("x"))
    padded = torch.tensor(case.values["pad_lengths"])
    features[torch.arange(features.shape[1]) >= padded[:, None]] = 0
    out = stream(tower, features, torch.tensor(case.values["lengths"]))
    outputs = {
        "text_features_sub": out.text[:, ::8],
        "visual_features_sub": out.visual[:, ::8, ::16],
        "logits1": out.logits1,
        "logits2": out.logits2,
        "prob1": out.logits1.sigmoid(),
        "prob2": 1 - out.logits2.softmax(dim=2)[..., 0],
    }
    if stream.head is not None:
        outputs["pred_mu"], outputs["pred_sigma"] = stream.head(out.visual)
    return outputs


compute = by_kind(eval=_eval)
